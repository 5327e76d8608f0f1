//! Installs of Rook with Ceph.

pub const FACTS: &[&str] = &[
    include_str!("facts/rook_ceph/chart-v1.20.6.json"),
    include_str!("facts/rook_ceph/examples-v1.16.0.json"),
    include_str!("facts/rook_ceph/examples-v1.20.6.json"),
];
