//! Which addresses ksit dials. Asked for the kubeconfig's text, and again for what a name resolves to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the operator allows beyond the safe default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Targets on this machine, for tests and demos.
    pub allow_loopback: bool,
    /// Addresses of the hub itself, which no target may have.
    pub hub: Vec<IpAddr>,
}

/// Metadata services of clouds that are not link-local: AWS over IPv6, Alibaba Cloud.
const METADATA: [IpAddr; 2] =
    [IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200))];

impl Policy {
    /// Why `address` is not dialled.
    pub fn refuses(&self, address: IpAddr) -> Option<&'static str> {
        // An IPv4 address in IPv6 clothes is the same host.
        let address = address.to_canonical();
        if address.is_loopback() {
            return (!self.allow_loopback)
                .then_some("a loopback address; --allow-loopback-targets allows them, for tests and demos");
        }
        if address.is_unspecified() || address.is_multicast() || is_broadcast(address) {
            return Some("not the address of a host");
        }
        if is_link_local(address) || METADATA.contains(&address) {
            return Some("a link-local or metadata address");
        }
        self.hub.contains(&address).then_some("an address of the hub itself")
    }
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_cluster() {
        let policy = Policy { hub: vec!["10.0.0.1".parse().unwrap()], ..Policy::default() };
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "0.1.2.3",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "10.0.0.1",
            "::ffff:10.0.0.1",
        ] {
            assert!(policy.refuses(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in ["10.0.0.2", "192.168.1.1", "203.0.113.9", "fd12::1", "2001:db8::1"] {
            assert_eq!(policy.refuses(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_allowed_by_choice_and_nothing_else_with_it() {
        let policy = Policy { allow_loopback: true, ..Policy::default() };
        assert_eq!(policy.refuses("127.0.0.1".parse().unwrap()), None);
        assert!(policy.refuses("169.254.169.254".parse().unwrap()).is_some());
    }
}
