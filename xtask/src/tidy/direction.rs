//! Which crate may use which: our own by a table, foreign ones by what they would let in.

use super::Finding;
use crate::metadata::{Metadata, Package};

const RULE: &str = "direction";

/// Each crate of the house and the crates of the house that it may use outside its tests.
const HOUSE: &[(&str, &[&str])] = &[
    ("mainstay-core", &[]),
    ("mainstay-repo-macros", &[]),
    ("mainstay-repo", &["mainstay-core", "mainstay-repo-macros"]),
    ("mainstay-saml", &["mainstay-core"]),
    ("mainstay-litefs", &["mainstay-core", "mainstay-repo"]),
    ("mainstay-sso", &["mainstay-core", "mainstay-repo", "mainstay-saml"]),
    ("mainstay-workflow-graph", &[]),
    ("mainstay-workflow-macros", &["mainstay-workflow-graph"]),
    (
        "mainstay-workflow",
        &["mainstay-core", "mainstay-repo", "mainstay-workflow-graph", "mainstay-workflow-macros"],
    ),
    ("mainstay-images", &["mainstay-core", "mainstay-repo"]),
    (
        "mainstay-server",
        &[
            "mainstay-core",
            "mainstay-repo",
            "mainstay-litefs",
            "mainstay-saml",
            "mainstay-sso",
            "mainstay-workflow",
            "mainstay-images",
        ],
    ),
    ("mainstay", PUBLIC),
    ("mainstay-testkit", &["mainstay-core", "mainstay-repo", "mainstay-saml", "mainstay-litefs"]),
    ("mainstay-conformance", LEAF),
    ("mainstay-model", &["mainstay-core"]),
    ("xtask", &[]),
];

const PUBLIC: &[&str] = &[
    "mainstay-core",
    "mainstay-repo",
    "mainstay-litefs",
    "mainstay-saml",
    "mainstay-sso",
    "mainstay-workflow",
    "mainstay-images",
    "mainstay-server",
];

/// What a crate that nobody uses may use.
const LEAF: &[&str] = &[
    "mainstay-core",
    "mainstay-repo",
    "mainstay-litefs",
    "mainstay-saml",
    "mainstay-sso",
    "mainstay-workflow",
    "mainstay-images",
    "mainstay-server",
    "mainstay",
    "mainstay-testkit",
    "mainstay-conformance",
    "mainstay-model",
];

/// Crates that exist for our tests.
pub(super) const PRIVATE: &[&str] = &["mainstay-testkit", "mainstay-conformance", "mainstay-model", "xtask"];

/// A foreign crate that only some of ours may use.
struct Fence {
    /// The foreign crates.
    banned: &'static [&'static str],
    holds_for: fn(&Package) -> bool,
    /// Whether it must not come in through another dependency either.
    deep: bool,
    reason: &'static str,
}

const FENCES: &[Fence] = &[
    Fence {
        banned: &[
            "tokio",
            "mio",
            "socket2",
            "async-std",
            "smol",
            "hyper",
            "axum",
            "reqwest",
            "ureq",
            "rusqlite",
            "libsqlite3-sys",
            "tokio-postgres",
            "sqlx",
        ],
        holds_for: is_pure,
        deep: true,
        reason: "it does no I/O and has no async runtime, not even through a dependency",
    },
    Fence {
        banned: &[
            "rand",
            "rand_core",
            "getrandom",
            "fastrand",
            "futures",
            "futures-util",
            "async-trait",
            "http",
            "postgres-types",
            "deadpool-postgres",
            "rustls",
        ],
        holds_for: is_pure,
        deep: false,
        reason: "bytes, time and randomness are parameters there",
    },
    Fence {
        banned: &["axum", "axum-core", "axum-extra", "tower-http"],
        holds_for: |package| {
            !is_example(package) && !matches!(package.name.as_str(), "mainstay-server" | "mainstay")
        },
        deep: false,
        reason: "only mainstay-server speaks to axum",
    },
    Fence {
        banned: &[
            "rusqlite",
            "libsqlite3-sys",
            "tokio-postgres",
            "tokio-postgres-rustls",
            "postgres-types",
            "deadpool-postgres",
            "sqlx",
            "sea-orm",
            "diesel",
        ],
        holds_for: |package| package.name != "mainstay-repo" && !is_private(package),
        deep: false,
        reason: "only mainstay-repo speaks to a database driver",
    },
    Fence {
        banned: &["anyhow", "eyre", "color-eyre"],
        holds_for: |package| !is_example(package),
        deep: false,
        reason: "an error is part of the interface: it has a kind",
    },
];

/// All edges that the table does not have.
pub(super) fn findings(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        findings.extend(inside(package));
        findings.extend(outside(package, metadata));
    }
    findings
}

fn inside(package: &Package) -> Vec<Finding> {
    let row = HOUSE.iter().find(|(name, _)| *name == package.name);
    let allowed = match row {
        Some((_, allowed)) => *allowed,
        None if is_example(package) => LEAF,
        None => {
            let message = "is not in the table of xtask/src/tidy/direction.rs: say what it may use";
            return vec![Finding::new(RULE, &package.name, message)];
        }
    };
    let ours = package.dependencies.iter().filter(|dep| HOUSE.iter().any(|(name, _)| *name == dep.name));
    ours.filter(|dep| dep.is_used_outside_tests() && !allowed.contains(&dep.name.as_str()))
        .map(|dep| Finding::new(RULE, &package.name, format!("must not use {}", dep.name)))
        .collect()
}

fn outside(package: &Package, metadata: &Metadata) -> Vec<Finding> {
    let direct = || package.dependencies.iter().filter(|dep| dep.is_used_outside_tests());
    let mut findings = Vec::new();
    for fence in FENCES.iter().filter(|fence| (fence.holds_for)(package)) {
        let mut broken: Vec<&str> = direct().map(|dep| dep.name.as_str()).collect();
        if fence.deep {
            broken.extend(metadata.closure(package));
        }
        broken.retain(|name| fence.banned.contains(name));
        broken.sort_unstable();
        broken.dedup();
        let told = broken.iter().map(|name| format!("must not use {name}: {}", fence.reason));
        findings.extend(told.map(|message| Finding::new(RULE, &package.name, message)));
    }
    findings
}

fn is_pure(package: &Package) -> bool {
    matches!(package.name.as_str(), "mainstay-core" | "mainstay-saml")
}

fn is_private(package: &Package) -> bool {
    PRIVATE.contains(&package.name.as_str())
}

fn is_example(package: &Package) -> bool {
    package.manifest_path.replace('\\', "/").contains("/examples/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn package(name: &str, place: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<Value> =
            dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({"id": name, "name": name, "version": "0.1.0", "license": null, "source": null,
               "manifest_path": format!("/x/{place}/{name}/Cargo.toml"), "dependencies": dependencies})
    }

    /// One crate with its dependencies in, what is wrong with it out.
    fn check(name: &str, place: &str, dependencies: &[(&str, Option<&str>)], expected: &[&str]) {
        let metadata = json!({"packages": [package(name, place, dependencies)],
                              "workspace_members": [name], "resolve": null});
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        let told: Vec<String> = findings(&metadata).into_iter().map(|finding| finding.message).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told} should contain {expected}");
        }
    }

    #[test]
    fn the_table_holds() {
        check("mainstay-sso", "crates", &[("mainstay-saml", None), ("mainstay-repo", None)], &[]);
        check("mainstay-repo", "crates", &[("mainstay-sso", None)], &["must not use mainstay-sso"]);
        check("mainstay-sso", "crates", &[("mainstay-images", None)], &["must not use mainstay-images"]);
        check("mainstay-repo", "crates", &[("mainstay-sso", Some("build"))], &["must not use mainstay-sso"]);
    }

    #[test]
    fn private_crates_are_for_tests_and_leaves() {
        check("mainstay-repo", "crates", &[("mainstay-testkit", Some("dev"))], &[]);
        check("mainstay-repo", "crates", &[("mainstay-testkit", None)], &["must not use mainstay-testkit"]);
        check(
            "mainstay",
            "crates",
            &[("mainstay-conformance", None)],
            &["must not use mainstay-conformance"],
        );
        check("embed-repo", "examples", &[("mainstay-testkit", None), ("axum", None)], &[]);
    }

    #[test]
    fn a_new_crate_must_be_placed() {
        check("mainstay-new", "crates", &[], &["is not in the table"]);
    }

    #[test]
    fn foreign_crates_stay_behind_their_fences() {
        check("mainstay-core", "crates", &[("tokio", None)], &["must not use tokio"]);
        check("mainstay-saml", "crates", &[("rand", None)], &["must not use rand"]);
        check("mainstay-saml", "crates", &[("rand", Some("dev"))], &[]);
        check("mainstay-sso", "crates", &[("axum", None)], &["only mainstay-server"]);
        check("mainstay-sso", "crates", &[("rusqlite", None)], &["only mainstay-repo"]);
        check("mainstay-repo", "crates", &[("anyhow", None)], &["must not use anyhow"]);
        check("mainstay-server", "crates", &[("axum", None)], &[]);
    }

    #[test]
    fn a_runtime_must_not_come_in_through_another_crate() {
        let metadata = json!({
            "packages": [package("mainstay-saml", "crates", &[("helper", None)]),
                         package("helper", "registry", &[]), package("tokio", "registry", &[])],
            "workspace_members": ["mainstay-saml"],
            "resolve": {"nodes": [
                {"id": "mainstay-saml", "deps": [{"pkg": "helper", "dep_kinds": [{"kind": null}]}]},
                {"id": "helper", "deps": [{"pkg": "tokio", "dep_kinds": [{"kind": null}]}]},
                {"id": "tokio", "deps": []}]}});
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        let told = findings(&metadata);
        assert!(told.len() == 1 && told[0].message.contains("tokio"), "{told:?}");
    }
}
