//! Deserializes the fields of a kubeconfig file that ksit uses. All others are ignored.

use std::fmt;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

#[derive(Deserialize)]
pub(super) struct File {
    pub kind: Option<String>,
    #[serde(rename = "current-context")]
    pub current_context: Option<String>,
    pub contexts: Option<Vec<NamedContext>>,
    pub clusters: Option<Vec<NamedCluster>>,
    pub users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
pub(super) struct NamedContext {
    pub name: Option<String>,
    pub context: Option<Context>,
}

#[derive(Deserialize)]
pub(super) struct Context {
    pub cluster: Option<String>,
    pub user: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct NamedCluster {
    pub name: Option<String>,
    pub cluster: Option<ClusterEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ClusterEntry {
    pub server: Option<String>,
    pub certificate_authority_data: Option<Hidden>,
    pub tls_server_name: Option<String>,
    /// May hold a password.
    pub proxy_url: Option<Hidden>,
    #[serde(default)]
    pub certificate_authority: Given,
    #[serde(default)]
    pub insecure_skip_tls_verify: Given,
}

#[derive(Deserialize)]
pub(super) struct NamedUser {
    pub name: Option<String>,
    pub user: Option<UserEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct UserEntry {
    pub token: Option<Hidden>,
    pub client_certificate_data: Option<Hidden>,
    pub client_key_data: Option<Hidden>,
    #[serde(default)]
    pub exec: Given,
    #[serde(default)]
    pub auth_provider: Given,
    #[serde(default, rename = "tokenFile")]
    pub token_file: Given,
    #[serde(default)]
    pub client_certificate: Given,
    #[serde(default)]
    pub client_key: Given,
    #[serde(default)]
    pub username: Given,
    #[serde(default)]
    pub password: Given,
    #[serde(default, rename = "as")]
    pub impersonate: Given,
    #[serde(default)]
    pub as_groups: Given,
    #[serde(default)]
    pub as_uid: Given,
    #[serde(default)]
    pub as_user_extra: Given,
}

/// A value that is or may be a secret.
pub(super) struct Hidden(pub SecretString);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

/// Whether a field is set. Null, an empty string, an empty list and `false` count as unset, as in client-go.
#[derive(Clone, Copy, Default)]
pub(super) struct Given(pub bool);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Given, E> {
        Ok(Given(value))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Given, E> {
        Ok(Given(true))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Given, E> {
        Ok(Given(true))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Given, E> {
        Ok(Given(true))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Given, E> {
        Ok(Given(!value.is_empty()))
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Given, E> {
        Ok(Given(true))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Given, E> {
        Ok(Given(false))
    }

    fn visit_none<E: de::Error>(self) -> Result<Given, E> {
        Ok(Given(false))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Given, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Given, A::Error> {
        let mut given = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            given = true;
        }
        Ok(Given(given))
    }

    /// An empty map counts too: `exec: {}` still requests a plugin.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Given(true))
    }
}
