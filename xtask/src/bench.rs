//! `cargo xtask bench`: the comparisons in `benches/`, a workspace with a lock file of its own.

use crate::metadata::Metadata;
use crate::shell::{self, Outcome, cargo};
use std::path::Path;

const MANIFEST: &str = "benches/Cargo.toml";

/// Lists the benchmarks, or runs the one that is named.
pub(crate) fn run(root: &Path, args: &[&str]) -> Outcome<bool> {
    if !root.join(MANIFEST).exists() {
        return Err(format!("there are no benchmarks yet: {MANIFEST} does not exist"));
    }
    let metadata = Metadata::load(root, MANIFEST)?;
    let names = binaries(&metadata);
    let (flags, wanted): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| !is_flag(flag)) {
        return Err(format!("bench knows --json, --quick and --only=PART,PART, not {flag}"));
    }
    match wanted.as_slice() {
        [] => {
            println!(
                "cargo xtask bench <name> [--json] [--quick] [--only=PART,PART], where <name> is one of:"
            );
            names.iter().for_each(|name| println!("  {name}"));
            Ok(true)
        }
        [name] if names.contains(name) => {
            let mut command =
                cargo(root, &["run", "--release", "--manifest-path", MANIFEST, "--bin", name, "--"]);
            shell::succeeds(command.args(&flags))
        }
        [name] => Err(format!("no benchmark is named {name}; there are: {}", names.join(", "))),
        _ => Err("one benchmark at a time: they would disturb each other".to_owned()),
    }
}

/// Which parts there are, a benchmark says itself.
fn is_flag(flag: &str) -> bool {
    ["--json", "--quick"].contains(&flag) || flag.starts_with("--only=")
}

fn binaries(metadata: &Metadata) -> Vec<&str> {
    let targets = metadata.members().flat_map(|package| &package.targets);
    let mut names: Vec<&str> = targets
        .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
        .map(|target| target.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_known() {
        assert!(is_flag("--json") && is_flag("--only=part") && !is_flag("--only") && !is_flag("--jsn"));
    }

    #[test]
    fn only_binaries_are_benchmarks() {
        let metadata: Metadata = serde_json::from_str(
            r#"{"workspace_members": ["b"], "resolve": null, "packages": [
                {"id": "b", "name": "b", "version": "0.0.0", "license": null, "source": null, "manifest_path": "",
                 "targets": [{"name": "writes", "kind": ["bin"]}, {"name": "b", "kind": ["lib"]}]}]}"#,
        )
        .unwrap();
        assert_eq!(binaries(&metadata), ["writes"]);
    }
}
