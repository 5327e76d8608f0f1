//! The hub operator's rules about hosts: which ones targets may have, and which proxies.
//!
//! A kubeconfig is written by whoever may write its Secret, and a Pod of the hub reaches more than that person does.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

use super::connection::is_host_name;

/// A host or several: a network or an address, a name, all names below one (`*.example.com`), or all hosts (`*`).
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostRule {
    /// `*`
    Any,
    Network(IpNet),
    Name(String),
    /// With the leading dot.
    Below(String),
}

/// Hosts that the server of a target may have (`--target-networks`). The default allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetNetworks(Arc<TargetRules>);

#[derive(Debug, Default, PartialEq, Eq)]
struct TargetRules {
    /// If empty, everything that is not refused.
    allowed: Vec<HostRule>,
    refused: Vec<HostRule>,
}

/// Proxies that the kubeconfig of a target may name (`--allow-proxies`). The default allows none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedProxies(Arc<[ProxyRule]>);

/// A host and, if given, its only port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRule(HostRule, Option<u16>);

/// A host of a target that is allowed or, with a leading `!`, refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRule {
    is_refused: bool,
    host: HostRule,
}

/// The text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a network such as 10.0.0.0/8, an address, a name, *.example.com, or * for all")]
pub struct InvalidRule;

const REFUSED: &str = "among what --target-networks refuses";
const NOT_ALLOWED: &str = "not among what --target-networks allows";

impl HostRule {
    fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Network(network) => network.contains(&address),
            Self::Name(_) | Self::Below(_) => false,
        }
    }

    fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Network(_) => false,
            Self::Name(own) => name == own,
            Self::Below(suffix) => name.ends_with(suffix.as_str()),
        }
    }
}

impl FromStr for HostRule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let (is_below, name) = text.strip_prefix("*.").map_or((false, text.as_str()), |name| (true, name));
        let name = name.trim_end_matches('.');
        match (is_host_name(name), is_below) {
            (false, _) => Err(InvalidRule),
            (true, true) => Ok(Self::Below(format!(".{name}"))),
            (true, false) => Ok(Self::Name(name.to_owned())),
        }
    }
}

impl FromStr for TargetRule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let (is_refused, host) = text.trim().strip_prefix('!').map_or((false, text), |host| (true, host));
        Ok(Self { is_refused, host: host.parse()? })
    }
}

impl FromStr for ProxyRule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        if let Ok(host) = text.parse() {
            return Ok(Self(host, None));
        }
        let (host, port) = text.trim().rsplit_once(':').ok_or(InvalidRule)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(InvalidRule)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self(host.parse()?, Some(port)))
    }
}

impl FromIterator<TargetRule> for TargetNetworks {
    fn from_iter<I: IntoIterator<Item = TargetRule>>(rules: I) -> Self {
        let (refused, allowed): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule.is_refused);
        let hosts = |rules: Vec<TargetRule>| rules.into_iter().map(|rule| rule.host).collect();
        Self(Arc::new(TargetRules { allowed: hosts(allowed), refused: hosts(refused) }))
    }
}

impl FromIterator<ProxyRule> for AllowedProxies {
    fn from_iter<I: IntoIterator<Item = ProxyRule>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}

impl TargetNetworks {
    /// Why a host, as it is written in a URL, is refused, as the end of `server c1 is …`. `is_resolved`: its addresses are
    /// asked about later, one by one.
    pub(super) fn host_objection(&self, host: &str, is_resolved: bool) -> Option<&'static str> {
        let TargetRules { allowed, refused } = &*self.0;
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.address_objection("", address.to_canonical());
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if refused.iter().any(|rule| rule.has_name(&name)) {
            return Some(REFUSED);
        }
        let may_be_in_a_network = is_resolved && allowed.iter().any(|rule| matches!(rule, HostRule::Network(_)));
        let is_allowed = allowed.is_empty() || may_be_in_a_network || allowed.iter().any(|rule| rule.has_name(&name));
        (!is_allowed).then_some(NOT_ALLOWED)
    }

    /// Why an address to which `host` resolves is refused.
    pub(super) fn address_objection(&self, host: &str, address: IpAddr) -> Option<&'static str> {
        let TargetRules { allowed, refused } = &*self.0;
        if refused.iter().any(|rule| rule.has_address(address)) {
            return Some(REFUSED);
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let is_allowed =
            allowed.is_empty() || allowed.iter().any(|rule| rule.has_address(address) || rule.has_name(&name));
        (!is_allowed).then_some(NOT_ALLOWED)
    }
}

impl AllowedProxies {
    /// Allows all, for a kubeconfig that the user has chosen.
    pub fn any() -> Self {
        Self([ProxyRule(HostRule::Any, None)].into())
    }

    /// Whether a kubeconfig may name this proxy.
    pub(super) fn contain(&self, host: &str, port: u16) -> bool {
        let has = |rule: &HostRule| match host.parse::<IpAddr>() {
            Ok(address) => rule.has_address(address.to_canonical()),
            Err(_) => rule.has_name(host.trim_end_matches('.')),
        };
        self.0.iter().any(|ProxyRule(rule, only)| only.is_none_or(|only| only == port) && has(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(rules: &str) -> TargetNetworks {
        rules.split(',').map(|rule| rule.parse::<TargetRule>().unwrap()).collect()
    }

    #[test]
    fn target_networks_allow_and_refuse_hosts() {
        for (rules, host, is_resolved, objection) in [
            ("10.0.0.0/8", "10.1.2.3", true, None),
            ("10.0.0.0/8", "192.168.0.1", true, Some(NOT_ALLOWED)),
            ("10.0.0.0/8,!10.96.0.0/12", "10.96.0.1", true, Some(REFUSED)),
            ("!10.96.0.0/12", "192.168.0.1", true, None),
            ("*.example.com", "c1.example.com", true, None),
            ("*.example.com", "C1.Example.com.", true, None),
            ("*.example.com", "example.com", true, Some(NOT_ALLOWED)),
            ("*.example.com", "c1.example.org", true, Some(NOT_ALLOWED)),
            ("!*.svc,10.0.0.0/8", "api.default.svc", true, Some(REFUSED)),
            // Its addresses decide, unless a proxy resolves the name.
            ("10.0.0.0/8", "c1.example.org", true, None),
            ("10.0.0.0/8", "c1.example.org", false, Some(NOT_ALLOWED)),
            ("*,!10.0.0.0/8", "c1.example.org", false, None),
            ("*,!10.0.0.0/8", "10.1.2.3", true, Some(REFUSED)),
            ("fd00::/8", "fd12::1", true, None),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true, None),
        ] {
            assert_eq!(networks(rules).host_objection(host, is_resolved), objection, "{rules} {host}");
        }
        assert_eq!(TargetNetworks::default().host_objection("c1.example.org", false), None);
    }

    #[test]
    fn target_networks_decide_about_each_resolved_address() {
        let rules = networks("10.0.0.0/8,!10.96.0.0/12,c1.example.com");
        let objection = |host, address: &str| rules.address_objection(host, address.parse().unwrap());
        assert_eq!(objection("c2.example.com", "10.1.1.1"), None);
        assert_eq!(objection("c2.example.com", "192.168.1.1"), Some(NOT_ALLOWED));
        assert_eq!(objection("c1.example.com", "192.168.1.1"), None);
        assert_eq!(objection("c1.example.com", "10.96.0.1"), Some(REFUSED), "a name does not open a refused network");
    }

    #[test]
    fn proxies_are_allowed_by_host_and_port() {
        let allowed: AllowedProxies = ["proxy.example.com:3128", "10.0.0.0/8", "[fd00::1]:8080", "*.corp"]
            .map(|rule| rule.parse::<ProxyRule>().unwrap())
            .into_iter()
            .collect();
        for (host, port, is_allowed) in [
            ("proxy.example.com", 3128, true),
            ("proxy.example.com", 8080, false),
            ("10.1.2.3", 1, true),
            ("fd00::1", 8080, true),
            ("fd00::1", 8081, false),
            ("a.corp", 80, true),
            ("corp", 80, false),
        ] {
            assert_eq!(allowed.contain(host, port), is_allowed, "{host}:{port}");
        }
        assert!(!AllowedProxies::default().contain("10.1.2.3", 1));
    }

    #[test]
    fn invalid_rules_are_refused() {
        for text in ["", "!", "10.0.0.0/33", "a b", "*.", "http://proxy:3128"] {
            assert_eq!(text.parse::<TargetRule>(), Err(InvalidRule), "{text}");
        }
        for text in ["", "proxy:0", "proxy:70000", "http://proxy:3128"] {
            assert_eq!(text.parse::<ProxyRule>(), Err(InvalidRule), "{text}");
        }
    }
}
