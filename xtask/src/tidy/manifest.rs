//! What each crate's `Cargo.toml` takes from the workspace: the lints, and the pins of its dependencies.

use super::Finding;
use super::tree::Tree;
use toml::{Table, Value};

const RULE: &str = "manifest";

/// Checks the manifest of each crate of the workspace.
pub(super) fn findings(files: &Tree) -> Vec<Finding> {
    let ours = |path: &str| {
        path == "xtask/Cargo.toml"
            || (path.ends_with("/Cargo.toml")
                && (path.starts_with("crates/") || path.starts_with("examples/")))
    };
    files.iter().filter(|(path, _)| ours(path)).flat_map(|(path, text)| of_manifest(path, text)).collect()
}

fn of_manifest(path: &str, text: &str) -> Vec<Finding> {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(problem) => return vec![Finding::new(RULE, path, format!("does not parse: {problem}"))],
    };
    let mut findings = Vec::new();
    if !manifest.get("lints").is_some_and(is_inherited) {
        findings.push(Finding::new(RULE, path, "takes the house's lints: `[lints] workspace = true`"));
    }
    // A crate may name itself, to turn on a feature for its tests.
    let itself = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    let pinned_here = |name: &str, dependency: &Value| Some(name) != itself && !is_inherited(dependency);
    for (name, _) in dependencies(&manifest).into_iter().filter(|(name, value)| pinned_here(name, value)) {
        let message = format!("{name}: pin it in the root Cargo.toml and say `{name}.workspace = true`");
        findings.push(Finding::new(RULE, path, message));
    }
    findings
}

/// Those of every kind, for all platforms and for one.
fn dependencies(table: &Table) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let kind = table.get(kind).and_then(Value::as_table);
        found.extend(kind.into_iter().flatten().map(|(name, dependency)| (name.as_str(), dependency)));
    }
    let platforms = table.get("target").and_then(Value::as_table).into_iter().flatten();
    found.extend(platforms.filter_map(|(_, platform)| platform.as_table()).flat_map(dependencies));
    found
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: &str, expected: &[&str]) {
        let told = findings(&Tree::of(&[("crates/a/Cargo.toml", manifest)]));
        let told: Vec<String> = told.into_iter().map(|finding| finding.message).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told} should contain {expected}");
        }
    }

    #[test]
    fn lints_are_the_house_s() {
        check("[lints]\nworkspace = true\n", &[]);
        check("[package]\nname = \"a\"\n", &["takes the house's lints"]);
        check("[lints.rust]\nunsafe_code = \"allow\"\n", &["takes the house's lints"]);
    }

    #[test]
    fn versions_are_pinned_in_one_place() {
        let with = |text: &str| format!("[lints]\nworkspace = true\n{text}");
        check(
            &with("[dependencies]\na.workspace = true\nb = { workspace = true, features = [\"c\"] }\n"),
            &[],
        );
        check(&with("[dependencies]\na = \"1\"\n"), &["a: pin it"]);
        check(&with("[dev-dependencies]\na = { version = \"1\" }\n"), &["a: pin it"]);
        check(&with("[package]\nname = \"a\"\n[dev-dependencies]\na = { path = \".\" }\n"), &[]);
        check(&with("[target.'cfg(unix)'.dependencies]\na = \"1\"\n"), &["a: pin it"]);
    }

    #[test]
    fn only_the_workspace_is_judged() {
        assert!(findings(&Tree::of(&[("benches/Cargo.toml", "[package]\n")])).is_empty());
    }
}
