//! The short list of rooms that are larger than the rule says. It only shrinks.

use crate::shell::Outcome;
use serde::Deserialize;

/// Where the list is kept.
pub(super) const FILE: &str = "xtask/tidy-allow.toml";

/// The whole list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allow {
    #[serde(default)]
    pub(super) file: Vec<LargeFile>,
    #[serde(default)]
    pub(super) function: Vec<LargeFunction>,
}

/// A file of exactly so many lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LargeFile {
    pub(super) path: String,
    pub(super) lines: usize,
    reason: String,
}

/// A function of exactly so many lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LargeFunction {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) lines: usize,
    reason: String,
}

/// Reads the list; an entry without a reason is refused.
pub(super) fn parse(text: &str) -> Outcome<Allow> {
    let allow: Allow = toml::from_str(text).map_err(|e| format!("{FILE}: {e}"))?;
    let mut reasons = allow.file.iter().map(|e| &e.reason).chain(allow.function.iter().map(|e| &e.reason));
    if reasons.any(|reason| reason.trim().is_empty()) {
        return Err(format!("{FILE}: every entry gives its reason"));
    }
    Ok(allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_reason() {
        let entry = |reason: &str| format!("[[file]]\npath = \"a.rs\"\nlines = 900\nreason = \"{reason}\"\n");
        assert_eq!(parse(&entry("a table")).unwrap().file.len(), 1);
        assert!(parse(&entry(" ")).is_err());
        assert!(parse("[[file]]\npath = \"a.rs\"\nlines = 900\n").is_err());
        assert!(parse("[[room]]\n").is_err());
    }
}
