//! Decides which addresses ksit dials for an untrusted kubeconfig.
//!
//! The rules apply twice: to the host as written, when the kubeconfig is vetted, and to every address that the name
//! resolves to on each connect, against DNS rebinding.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::networks::{AllowedProxies, TargetNetworks};

/// Addresses that the hub's operator permits. The default is the strictest policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Permits loopback addresses, even if the hub has one: for tests and for a demo on one machine.
    pub allow_loopback: bool,
    /// Addresses of the hub's own API server, which no target may use.
    pub hub_addresses: HubAddresses,
    /// Hosts that a target may have, beside these rules.
    pub networks: TargetNetworks,
    /// Proxies that a kubeconfig may name.
    pub proxies: AllowedProxies,
}

/// Addresses that may change at runtime. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct HubAddresses(Arc<RwLock<Vec<IpAddr>>>);

impl HubAddresses {
    pub fn set(&self, addresses: Vec<IpAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Adds to the present addresses.
    pub fn add(&self, addresses: Vec<IpAddr>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for address in addresses {
            if !current.contains(&address) {
                current.push(address);
            }
        }
    }

    /// `address` must be canonical.
    fn contain(&self, address: IpAddr) -> bool {
        self.read().iter().any(|hub| hub.to_canonical() == address)
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<IpAddr>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Vec<IpAddr>> for HubAddresses {
    fn from(addresses: Vec<IpAddr>) -> Self {
        Self(Arc::new(RwLock::new(addresses)))
    }
}

/// Equality ignores changes over time, as they need no new connection.
impl PartialEq for HubAddresses {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.read() == *other.read()
    }
}

impl Eq for HubAddresses {}

/// Cloud metadata services, which hand out credentials, outside the link-local ranges.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), // Alibaba Cloud
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),   // Azure
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),     // Oracle Cloud
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)), // Google Cloud
];

impl Policy {
    /// Why this address is refused, as a noun (`a loopback address`). `None` if it may be dialled.
    pub(super) fn objection(&self, address: IpAddr) -> Option<&'static str> {
        embedded(address).into_iter().find_map(|address| self.plain_objection(address))
    }

    /// Like [`Policy::objection`], for an address to which the host of a target resolves.
    pub(super) fn resolved_objection(&self, host: &str, address: IpAddr) -> Option<&'static str> {
        let by_rule = |address| self.networks.address_objection(host, address);
        self.objection(address).or_else(|| embedded(address).into_iter().find_map(by_rule))
    }

    /// Like [`Policy::host_objection`], for the host of a target, which ksit resolves unless a proxy does.
    pub(super) fn server_objection(&self, host: &str, is_resolved: bool) -> Option<&'static str> {
        self.host_objection(host).or_else(|| self.networks.host_objection(host, is_resolved))
    }

    fn plain_objection(&self, address: IpAddr) -> Option<&'static str> {
        if address.is_loopback() {
            return (!self.allow_loopback).then_some("a loopback address");
        }
        if self.hub_addresses.contain(address) {
            return Some("an address of the hub");
        }
        if METADATA.contains(&address) {
            return Some("a cloud's metadata address");
        }
        match address {
            IpAddr::V4(v4) => objection_v4(v4),
            IpAddr::V6(v6) => objection_v6(v6),
        }
    }

    /// Like [`Policy::objection`], for a host as it is written in a URL (no brackets).
    pub(super) fn host_objection(&self, host: &str) -> Option<&'static str> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.objection(address);
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        if last == "localhost" && !self.allow_loopback {
            return Some("a loopback address");
        }
        // 2130706433, 0x7f.1 and 0177.0.0.1 parse as names, but resolvers read them as 127.0.0.1. Browsers have the
        // same rule (WHATWG URL, "ends in a number").
        ends_in_number(last).then_some("an IP address in an unusual spelling")
    }
}

fn ends_in_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()),
    }
}

fn objection_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.octets()[0] == 0 {
        return Some("an unspecified address");
    }
    if address == Ipv4Addr::new(169, 254, 169, 254) {
        return Some("a cloud's metadata address");
    }
    if address.is_link_local() {
        return Some("a link-local address");
    }
    (address.is_multicast() || address.is_broadcast()).then_some("a multicast address")
}

fn objection_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("an unspecified address");
    }
    // fd00:ec2::/32 has the instance services of AWS (metadata, DNS, time, Pod identity).
    if address.segments()[..2] == [0xfd00, 0xec2] {
        return Some("a cloud's metadata address");
    }
    if address.is_unicast_link_local() {
        return Some("a link-local address");
    }
    address.is_multicast().then_some("a multicast address")
}

/// The address itself, and the IPv4 address embedded in an IPv6 one: mapped, NAT64, 6to4 or IPv4-compatible.
fn embedded(address: IpAddr) -> Vec<IpAddr> {
    let address = address.to_canonical();
    let IpAddr::V6(v6) = address else { return vec![address] };
    let s = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => vec![address, v4(high, low)],
        [0x2002, high, low, ..] => vec![address, v4(high, low)],
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => vec![address, v4(high, low)],
        _ => vec![address],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_link_local_and_metadata_addresses_are_refused() {
        let policy = Policy { hub_addresses: vec!["10.96.0.1".parse().unwrap()].into(), ..Policy::default() };
        for (host, why) in [
            ("127.0.0.1", "a loopback address"),
            ("127.9.8.7", "a loopback address"),
            ("::1", "a loopback address"),
            ("::ffff:127.0.0.1", "a loopback address"),
            ("::127.0.0.1", "a loopback address"),
            ("64:ff9b::7f00:1", "a loopback address"),
            ("2002:7f00:1::1", "a loopback address"),
            ("localhost", "a loopback address"),
            ("LocalHost.", "a loopback address"),
            ("a.localhost", "a loopback address"),
            ("0.0.0.0", "an unspecified address"),
            ("0.1.2.3", "an unspecified address"),
            ("::", "an unspecified address"),
            ("169.254.169.254", "a cloud's metadata address"),
            ("::ffff:169.254.169.254", "a cloud's metadata address"),
            ("64:ff9b::a9fe:a9fe", "a cloud's metadata address"),
            ("fd00:ec2::254", "a cloud's metadata address"),
            ("fd00:ec2::23", "a cloud's metadata address"),
            ("fd20:ce::254", "a cloud's metadata address"),
            ("168.63.129.16", "a cloud's metadata address"),
            ("100.100.100.200", "a cloud's metadata address"),
            ("192.0.0.192", "a cloud's metadata address"),
            ("169.254.1.1", "a link-local address"),
            ("fe80::1", "a link-local address"),
            ("224.0.0.1", "a multicast address"),
            ("255.255.255.255", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("10.96.0.1", "an address of the hub"),
            ("::ffff:10.96.0.1", "an address of the hub"),
            ("2130706433", "an IP address in an unusual spelling"),
            ("0x7f000001", "an IP address in an unusual spelling"),
            ("0177.0.0.1", "an IP address in an unusual spelling"),
            ("127.1", "an IP address in an unusual spelling"),
            ("127.0.0.1.", "an IP address in an unusual spelling"),
            ("1.2.3.0x4", "an IP address in an unusual spelling"),
        ] {
            assert_eq!(policy.host_objection(host), Some(why), "{host}");
        }
    }

    #[test]
    fn hub_addresses_can_change_at_runtime() {
        let policy = Policy::default();
        let used = policy.clone();
        policy.hub_addresses.set(vec!["10.96.0.1".parse().unwrap()]);
        assert_eq!(used.host_objection("10.96.0.1"), Some("an address of the hub"));
        policy.hub_addresses.set(vec!["10.97.0.1".parse().unwrap()]);
        assert_eq!(used.host_objection("10.96.0.1"), None);
        policy.hub_addresses.add(vec!["10.96.0.1".parse().unwrap(), "10.97.0.1".parse().unwrap()]);
        assert!(["10.96.0.1", "10.97.0.1"].iter().all(|host| used.host_objection(host).is_some()));
        assert_eq!(used, policy);
    }

    #[test]
    fn ordinary_addresses_are_permitted() {
        let policy = Policy::default();
        for host in
            ["10.0.0.1", "192.168.1.2", "203.0.113.7", "2001:db8::1", "fd12:3456::1", "k8s.example.com", "c1.4u"]
        {
            assert_eq!(policy.host_objection(host), None, "{host}");
        }
    }

    #[test]
    fn loopback_opt_in_permits_nothing_else() {
        let policy = Policy {
            allow_loopback: true,
            hub_addresses: vec!["127.0.0.1".parse().unwrap(), "10.96.0.1".parse().unwrap()].into(),
            ..Policy::default()
        };
        assert_eq!(policy.host_objection("127.0.0.1"), None);
        assert_eq!(policy.host_objection("localhost"), None);
        assert_eq!(policy.host_objection("10.96.0.1"), Some("an address of the hub"));
        assert_eq!(policy.host_objection("169.254.169.254"), Some("a cloud's metadata address"));
        assert_eq!(policy.host_objection("2130706433"), Some("an IP address in an unusual spelling"));
    }
}
