//! Business keys: of which runs only one may be active at a time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Among which runs a business key is unique while they are active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Runs of this workflow, whatever their version.
    #[default]
    Workflow,
    /// Runs of this version of this workflow.
    Version,
    /// Runs of all workflows that use the same key.
    Global,
    /// None: every start makes a run.
    None,
}

/// The business key of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Unique {
    /// What the value is, such as `orderid`: lower-case letters and digits. Empty only with [`Scope::None`].
    pub key: String,
    /// Among which runs it is unique.
    pub scope: Scope,
}

/// Why a value is not a business key: it is neither lower-case letters and digits nor a lower-case UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    /// The value that was given, cut to 64 characters.
    pub given: String,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a business key; it has lower-case letters and digits, or is a lower-case UUID",
            self.given
        )
    }
}

impl std::error::Error for KeyError {}

impl Unique {
    /// No business key: every start makes a run.
    #[must_use]
    pub fn none() -> Self {
        Self { key: String::new(), scope: Scope::None }
    }

    /// Whether the key can be used with the scope.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        is_plain(&self.key) || (self.key.is_empty() && self.scope == Scope::None)
    }

    /// What goes into the unique index of active runs, or `None` where nothing is unique. Two runs exclude each other exactly when these
    /// texts are equal.
    ///
    /// # Errors
    /// [`KeyError`] when the value is no business key.
    pub fn token(&self, workflow: &str, version: u32, value: &str) -> Result<Option<String>, KeyError> {
        if !is_plain(value) && !is_uuid(value) {
            return Err(KeyError { given: value.chars().take(64).collect() });
        }
        let key = &self.key;
        Ok(match self.scope {
            Scope::None => None,
            Scope::Global => Some(format!("g::{key}::{value}")),
            Scope::Workflow => Some(format!("w::{workflow}::{key}::{value}")),
            Scope::Version => Some(format!("v::{workflow}::{version}::{key}::{value}")),
        })
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = |byte: u8| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(scope: Scope) -> Unique {
        Unique { key: "orderid".to_owned(), scope }
    }

    #[test]
    fn values_are_plain_or_uuids() {
        for good in ["abc123", "1", "0190163d-8694-739b-aea5-966c26f8ad91"] {
            assert!(unique(Scope::Workflow).token("w", 1, good).is_ok(), "{good}");
        }
        let upper = "0190163D-8694-739B-AEA5-966C26F8AD91";
        for bad in ["", "A", "a-b", "a_b", "a::b", "a b", "abc\n", upper] {
            assert!(unique(Scope::None).token("w", 1, bad).is_err(), "{bad:?}");
        }
    }

    /// P7, P16: the index text holds the workflow or the version exactly when the scope does.
    #[test]
    fn p07_p16_runs_exclude_each_other_only_inside_their_scope() {
        let token = |scope, workflow, version| unique(scope).token(workflow, version, "7").unwrap();
        assert_eq!(token(Scope::None, "a", 1), None);
        assert_eq!(token(Scope::Global, "a", 1), token(Scope::Global, "b", 2));
        assert_eq!(token(Scope::Workflow, "a", 1), token(Scope::Workflow, "a", 2));
        assert_ne!(token(Scope::Workflow, "a", 1), token(Scope::Workflow, "b", 1));
        assert_ne!(token(Scope::Version, "a", 1), token(Scope::Version, "a", 2));
        assert_eq!(token(Scope::Version, "a", 1), token(Scope::Version, "a", 1));
    }
}
