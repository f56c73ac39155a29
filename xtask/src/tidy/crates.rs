//! What every library crate owes its readers: documented items, and a place in the documents.

use super::Finding;
use super::direction::PRIVATE;
use super::tree::Tree;
use crate::metadata::Metadata;

/// Checks each package that has a directory under `crates/`.
pub(super) fn findings(metadata: &Metadata, files: &Tree) -> Vec<Finding> {
    let names: Vec<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let ours = |name: &&str| files.exists(&format!("crates/{name}"));
    names.into_iter().filter(ours).flat_map(|name| of_crate(name, files)).collect()
}

fn of_crate(name: &str, files: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = files.text(document).unwrap_or_default();
        if !text.contains(&format!("`{name}`")) {
            findings.push(Finding::new("documented", document, format!("does not name the crate `{name}`")));
        }
    }
    let lib = format!("crates/{name}/src/lib.rs");
    if let Some(text) = files.text(&lib)
        && !PRIVATE.contains(&name)
        && !denies_missing_docs(&text)
    {
        let message = "a library crate says #![deny(missing_docs)]";
        findings.push(Finding::new("missing-docs", lib, message));
    }
    findings
}

fn denies_missing_docs(text: &str) -> bool {
    let lines = text.lines().map(str::trim);
    let mut attributes = lines.filter(|line| line.starts_with("#![deny(") || line.starts_with("#![forbid("));
    attributes.any(|line| line.contains("missing_docs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, lib: &str, documents: &str, expected: &[&str]) {
        let lib_path = format!("crates/{name}/src/lib.rs");
        let files = Tree::of(&[(&lib_path, lib), ("README.md", documents), ("ARCHITECTURE.md", documents)]);
        let rules: Vec<&str> = of_crate(name, &files).into_iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, expected);
    }

    #[test]
    fn a_library_denies_missing_docs() {
        check("mainstay-a", "//! A.\n#![deny(missing_docs)]\n", "`mainstay-a`", &[]);
        check("mainstay-a", "//! A.\n// deny(missing_docs)\n", "`mainstay-a`", &["missing-docs"]);
        check("mainstay-testkit", "//! A.\n", "`mainstay-testkit`", &[]);
    }

    #[test]
    fn both_documents_name_every_crate() {
        check("mainstay-a", "#![deny(missing_docs)]\n", "`mainstay-b`", &["documented", "documented"]);
    }
}
