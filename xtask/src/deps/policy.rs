//! The part of cargo-deny's form that we use.

use serde::Deserialize;

/// The whole of `deny.toml`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Policy {
    #[serde(default)]
    pub(super) graph: Graph,
    #[serde(default)]
    licenses: Licences,
    #[serde(default)]
    pub(super) bans: Bans,
}

/// The platforms that we ship for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Graph {
    #[serde(default)]
    pub(super) targets: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Licences {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    krate: String,
    allow: Vec<String>,
}

/// Crates that are refused, and second versions that are not.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Bans {
    #[serde(default)]
    pub(super) deny: Vec<Named>,
    #[serde(default)]
    pub(super) skip: Vec<Named>,
}

/// `name` or `name@version`, and why.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    #[serde(rename = "crate")]
    pub(super) krate: String,
    #[serde(default)]
    pub(super) reason: String,
}

impl Named {
    /// Whether this entry means that version: `a@1.2` means every 1.2.x.
    pub(super) fn is_for(&self, name: &str, version: &str) -> bool {
        let (wanted, prefix) = self.krate.split_once('@').unwrap_or((&self.krate, ""));
        let rest = version.strip_prefix(prefix);
        wanted == name
            && rest.is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('.'))
    }
}

impl Policy {
    /// Whether this crate may come under this licence.
    pub(super) fn allows(&self, name: &str, licence: &str) -> bool {
        let exceptions = self.licenses.exceptions.iter().filter(|exception| exception.krate == name);
        let mut allowed = self.licenses.allow.iter().chain(exceptions.flat_map(|exception| &exception.allow));
        allowed.any(|allowed| allowed == licence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_named_by_its_first_parts() {
        let named = |krate: &str| Named { krate: krate.to_owned(), reason: String::new() };
        assert!(named("a").is_for("a", "1.2.3"));
        assert!(named("a@1.2").is_for("a", "1.2.3"));
        assert!(named("a@1.2.3").is_for("a", "1.2.3"));
        assert!(!named("a@1.2").is_for("a", "1.20.0"));
        assert!(!named("b@1.2").is_for("a", "1.2.0"));
    }
}
