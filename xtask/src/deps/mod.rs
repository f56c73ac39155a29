//! `cargo xtask deps`: what `deny.toml` asks of every dependency, without a tool to install first.
//!
//! It reads the part of cargo-deny's form that we use; when cargo-deny is there, it has the last word.

mod policy;
mod spdx;

use crate::metadata::{Metadata, Package};
use crate::shell::{self, Outcome, cargo};
use policy::Policy;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const FILE: &str = "deny.toml";
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks licences, sources, banned crates and duplicates.
pub(crate) fn run(root: &Path) -> Outcome<bool> {
    let text = std::fs::read_to_string(root.join(FILE)).map_err(|e| format!("{FILE}: {e}"))?;
    let policy: Policy = toml::from_str(&text).map_err(|e| format!("{FILE}: {e}"))?;
    let metadata = Metadata::load(root, "Cargo.toml")?;
    let tree = shell::output_of(&mut tree(root, &policy.graph.targets))?;
    let foreign = foreign(&metadata, &built(&tree));
    let mut problems = licences(&foreign, &policy);
    problems.extend(sources(&foreign));
    problems.extend(bans(&foreign, &policy));
    problems.extend(duplicates(&foreign, &policy));
    problems.iter().for_each(|problem| println!("{problem}"));
    println!("deps: {} packages, {} problems", foreign.len(), problems.len());
    let mut good = problems.is_empty();
    if shell::has_cargo("deny") {
        good &= shell::succeeds(&mut cargo(root, &["deny", "check"]))?;
    } else {
        println!("deps: cargo-deny is not installed; advisories were not looked up");
    }
    Ok(good)
}

/// `cargo tree`, which leaves out what no feature turns on; `cargo metadata` does not.
fn tree(root: &Path, platforms: &[String]) -> Command {
    let args = ["tree", "--workspace", "--all-features", "--edges", "normal,build,dev"];
    let mut command = cargo(root, &args);
    command.args(["--prefix", "none", "--format", "{p}"]);
    for platform in platforms {
        command.args(["--target", platform]);
    }
    command
}

/// Name and version of each line: `syn v3.0.9 (proc-macro) (*)`.
fn built(tree: &str) -> BTreeSet<(&str, &str)> {
    let words = tree.lines().filter_map(|line| line.split_once(" v"));
    words.map(|(name, rest)| (name, rest.split(' ').next().unwrap_or(rest))).collect()
}

/// The packages that are built and not ours.
fn foreign<'a>(metadata: &'a Metadata, built: &BTreeSet<(&str, &str)>) -> Vec<&'a Package> {
    let is_built = |package: &&Package| built.contains(&(package.name.as_str(), package.version.as_str()));
    let ours = |package: &&Package| metadata.workspace_members.contains(&package.id);
    metadata.packages.iter().filter(|package| is_built(package) && !ours(package)).collect()
}

fn licences(packages: &[&Package], policy: &Policy) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let Package { name, version, .. } = package;
        let Some(expression) = &package.license else {
            problems.push(format!("{name} {version}: names no licence"));
            continue;
        };
        let allowed = |licence: &str| policy.allows(name, licence);
        match spdx::satisfied(expression, &allowed) {
            Ok(true) => {}
            Ok(false) => problems.push(format!("{name} {version}: `{expression}` is not allowed by {FILE}")),
            Err(problem) => problems.push(format!("{name} {version}: `{expression}`: {problem}")),
        }
    }
    problems
}

fn sources(packages: &[&Package]) -> Vec<String> {
    let strange = packages.iter().filter(|p| p.source.as_deref().is_some_and(|s| s != CRATES_IO));
    strange
        .map(|p| format!("{} {}: comes from {:?}, not from crates.io", p.name, p.version, p.source))
        .collect()
}

fn bans(packages: &[&Package], policy: &Policy) -> Vec<String> {
    let mut problems = Vec::new();
    for ban in &policy.bans.deny {
        let found = packages.iter().filter(|package| package.name == ban.krate);
        problems.extend(found.map(|p| format!("{} {}: banned: {}", p.name, p.version, ban.reason)));
    }
    problems
}

/// Each crate at one version, but for those that `bans.skip` names; an entry that skips nothing goes.
fn duplicates(packages: &[&Package], policy: &Policy) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let mut problems = Vec::new();
    let mut needed = BTreeSet::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let skipped = |version: &&str| policy.bans.skip.iter().any(|skip| skip.is_for(name, version));
        let (old, left): (Vec<&str>, Vec<&str>) = versions.iter().copied().partition(skipped);
        needed.extend(old.into_iter().map(|version| (name.to_string(), version.to_owned())));
        if left.len() > 1 {
            problems
                .push(format!("{name}: in versions {}; unify them, or skip the old one", left.join(", ")));
        }
    }
    for skip in &policy.bans.skip {
        if skip.reason.trim().is_empty() {
            problems.push(format!("{FILE}: skip of {} gives no reason", skip.krate));
        }
        if !needed.iter().any(|(name, version)| skip.is_for(name, version)) {
            problems.push(format!("{FILE}: skip of {} skips nothing: remove it", skip.krate));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, license: Option<&str>) -> Package {
        Package {
            id: format!("{name} {version}"),
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.map(str::to_owned),
            source: Some(CRATES_IO.to_owned()),
            manifest_path: String::new(),
            dependencies: Vec::new(),
            targets: Vec::new(),
        }
    }

    fn policy(text: &str) -> Policy {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_tree_is_read_line_by_line() {
        let tree = "syn v3.0.9 (proc-macro) (*)\nours v0.1.0 (/ours)\n\nsyn v2.0.119\n";
        let expected = [("ours", "0.1.0"), ("syn", "2.0.119"), ("syn", "3.0.9")];
        assert_eq!(built(tree).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_licence_must_be_allowed() {
        let policy = policy(
            "[licenses]\nallow = [\"MIT\"]\n[[licenses.exceptions]]\ncrate = \"c\"\nallow = [\"MPL-2.0\"]\n",
        );
        let check =
            |name: &str, license: Option<&str>| licences(&[&package(name, "1.0.0", license)], &policy);
        assert!(check("a", Some("Apache-2.0 OR MIT")).is_empty());
        assert!(check("c", Some("MPL-2.0")).is_empty());
        assert_eq!(check("a", Some("MPL-2.0")).len(), 1);
        assert_eq!(check("a", Some("GPL-3.0-only AND MIT")).len(), 1);
        assert_eq!(check("a", None).len(), 1);
    }

    #[test]
    fn a_crate_has_one_version_unless_skipped() {
        let (old, new, next) =
            (package("a", "1.0.0", None), package("a", "2.0.0", None), package("a", "3.0.0", None));
        let skip = policy("[bans]\nskip = [{ crate = \"a@1\", reason = \"b still uses it\" }]\n");
        assert_eq!(duplicates(&[&old, &new], &Policy::default()).len(), 1);
        assert!(duplicates(&[&old, &new], &skip).is_empty());
        assert_eq!(duplicates(&[&old, &new, &next], &skip).len(), 1);
        assert_eq!(duplicates(&[&new], &skip), ["deny.toml: skip of a@1 skips nothing: remove it"]);
    }

    #[test]
    fn a_skip_gives_its_reason() {
        let skip = policy("[bans]\nskip = [{ crate = \"a@1\", reason = \"\" }]\n");
        let (old, new) = (package("a", "1.0.0", None), package("a", "2.0.0", None));
        assert_eq!(duplicates(&[&old, &new], &skip).len(), 1);
    }

    #[test]
    fn banned_crates_and_strange_sources_are_told() {
        let policy = policy("[bans]\ndeny = [{ crate = \"openssl\", reason = \"one provider\" }]\n");
        let mut openssl = package("openssl", "0.10.0", None);
        assert_eq!(bans(&[&openssl], &policy), ["openssl 0.10.0: banned: one provider"]);
        assert!(sources(&[&openssl]).is_empty());
        openssl.source = Some("git+https://example.org/openssl".to_owned());
        assert_eq!(sources(&[&openssl]).len(), 1);
    }
}
