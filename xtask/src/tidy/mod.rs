//! `cargo xtask tidy`: the rules of the house that neither the compiler nor clippy knows.
//!
//! Each rule is a function from text to findings, so that a test can show it a broken example.

mod allow;
mod crates;
mod direction;
mod documents;
mod manifest;
mod size;
mod source;
mod tree;
mod words;

use crate::metadata::Metadata;
use crate::shell::Outcome;
use std::path::Path;

/// One broken rule, in one place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    place: String,
    rule: &'static str,
    message: String,
}

impl Finding {
    fn new(rule: &'static str, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), rule, message: message.into() }
    }
}

/// Checks the whole checkout and prints what it found.
pub(crate) fn run(root: &Path) -> Outcome<bool> {
    let files = tree::read(root)?;
    let metadata = Metadata::load(root, "Cargo.toml")?;
    let allowed = allow::parse(&files.text(allow::FILE).unwrap_or_default())?;
    let mut findings = direction::findings(&metadata);
    findings.extend(crates::findings(&metadata, &files));
    findings.extend(manifest::findings(&files));
    findings.extend(size::findings(&files, &allowed));
    findings.extend(source::findings(&files));
    findings.extend(words::findings(&files));
    findings.extend(documents::findings(&files));
    findings.sort();
    for Finding { place, rule, message } in &findings {
        println!("{place}: {message} [{rule}]");
    }
    println!("tidy: {} files, {} findings", files.len(), findings.len());
    Ok(findings.is_empty())
}
