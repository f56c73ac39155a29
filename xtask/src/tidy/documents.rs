//! Documents stay true: links lead somewhere, named paths exist, decisions are listed.

use super::Finding;
use super::tree::{Tree, crate_source};
use std::collections::BTreeSet;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const ARCHITECTURE_LIMIT: usize = 300;
const ADR: &str = "docs/adr/";

/// Checks every Markdown file.
pub(super) fn findings(files: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".md")) {
        findings.extend(links(path, text, files));
    }
    findings.extend(architecture(files));
    findings.extend(decisions(files));
    findings
}

fn architecture(files: &Tree) -> Vec<Finding> {
    let text = files.text(ARCHITECTURE).unwrap_or_default();
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > ARCHITECTURE_LIMIT {
        let message = format!("{lines} lines; a reader is given at most {ARCHITECTURE_LIMIT}");
        findings.push(Finding::new("size", ARCHITECTURE, message));
    }
    let named = named_paths(&text);
    for path in named.iter().filter(|path| !files.exists(path)) {
        findings.push(Finding::new("rooms", ARCHITECTURE, format!("names `{path}`, which does not exist")));
    }
    for room in rooms(files).into_iter().filter(|room| !named.iter().any(|path| path.starts_with(room))) {
        findings.push(Finding::new("rooms", ARCHITECTURE, format!("does not say what `{room}/` holds")));
    }
    findings
}

/// The paths in backticks; under a heading that names a crate, `src/...` is a path of that crate.
fn named_paths(text: &str) -> Vec<String> {
    let mut krate = None;
    let mut named = Vec::new();
    for (_, line) in prose(text) {
        let mut code = line.split('`').skip(1).step_by(2);
        if line.starts_with('#') {
            krate = code.next().filter(|name| name.starts_with("mainstay"));
            continue;
        }
        for code in code {
            match krate.filter(|_| code.starts_with("src/")) {
                Some(krate) => named.push(format!("crates/{krate}/{code}")),
                None if is_path(code) => named.push(code.to_owned()),
                None => {}
            }
        }
    }
    named
}

/// The directories directly under each crate's `src/`.
fn rooms(files: &Tree) -> BTreeSet<String> {
    let inside = files.rust().filter_map(|(path, _)| crate_source(path));
    inside
        .filter_map(|(krate, path)| Some(format!("crates/{krate}/src/{}", path.split_once('/')?.0)))
        .collect()
}

fn is_path(code: &str) -> bool {
    ["crates/", "docs/", "xtask/", "benches/", "examples/", ".ci/", ".config/"]
        .iter()
        .any(|head| code.starts_with(head))
        && !code.contains(['*', '<', '{', ' ', '…'])
}

fn decisions(files: &Tree) -> Vec<Finding> {
    const RULE: &str = "decisions";
    let index = files.text("docs/adr/README.md").unwrap_or_default();
    let mut findings = Vec::new();
    let mut numbers = Vec::new();
    for (path, _) in files.iter() {
        let Some(name) = path.strip_prefix(ADR).filter(|name| *name != "README.md") else { continue };
        match decision_number(name) {
            None => findings.push(Finding::new(RULE, path, "is not named NNNN-title.md")),
            Some(number) if numbers.contains(&number) => {
                findings.push(Finding::new(RULE, path, format!("{number} is taken")));
            }
            Some(number) => numbers.push(number),
        }
        if !index.contains(&format!("({name})")) {
            findings.push(Finding::new(RULE, path, "is not listed in docs/adr/README.md"));
        }
    }
    findings
}

fn decision_number(name: &str) -> Option<&str> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let good_number = number.len() == 4 && number.chars().all(|c| c.is_ascii_digit());
    let good_title =
        !title.is_empty() && title.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    (good_number && good_title).then_some(number)
}

fn links(path: &str, text: &str, files: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, target) in targets(text) {
        let place = format!("{path}:{number}");
        if let Some(problem) = problem_with(path, &target, files) {
            findings.push(Finding::new("links", place, format!("`{target}` {problem}")));
        }
    }
    findings
}

fn problem_with(path: &str, target: &str, files: &Tree) -> Option<&'static str> {
    let scheme =
        target.split_once(':').is_some_and(|(head, _)| head.chars().all(|c| c.is_ascii_alphabetic()));
    if scheme {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { path.to_owned() } else { joined(path, file)? };
    if !files.exists(&file) {
        return Some("leads nowhere");
    }
    let text = files.text(&file).filter(|_| file.ends_with(".md") && !anchor.is_empty())?;
    let mut headings = prose(&text).filter_map(|(_, line)| line.strip_prefix('#').map(slug));
    (!headings.any(|heading| heading == anchor)).then_some("names a heading that is not there")
}

/// The target as a path from the root; `None` for one that leaves the checkout, which is not ours to judge.
fn joined(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A heading as the anchor that a reader's browser knows.
fn slug(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines outside code blocks, numbered from one.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        (!in_code && !fence).then_some((number + 1, line))
    })
}

/// What `[text](target)`, `[name]: target` and `src="target"` point at, with the line.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        let mut add = |target: &str| {
            let target = target.split_whitespace().next().unwrap_or_default().trim_matches(['<', '>']);
            found.push((number, target.to_owned()));
        };
        for (marker, end) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')] {
            let pieces = plain.split(marker).skip(1);
            pieces.filter_map(|piece| piece.split_once(end)).for_each(|(target, _)| add(target));
        }
        if let Some((_, target)) = plain.split_once("]: ").filter(|_| plain.starts_with('[')) {
            add(target);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let rules: Vec<String> =
            findings(&Tree::of(files)).into_iter().map(|f| format!("{} {}", f.rule, f.message)).collect();
        assert_eq!(rules.len(), expected.len(), "{rules:?}");
        for (told, expected) in rules.iter().zip(expected) {
            assert!(told.contains(expected), "{told} should contain {expected}");
        }
    }

    #[test]
    fn links_lead_somewhere() {
        check(&[("docs/a.md", "[b](b.md) [root](../README.md)"), ("docs/b.md", ""), ("README.md", "")], &[]);
        check(&[("docs/a.md", "[b](b.md)")], &["links `b.md` leads nowhere"]);
        check(&[("docs/a.md", "[b]: b.md")], &["leads nowhere"]);
        check(&[("README.md", "<img src=\"docs/a.svg\">")], &["leads nowhere"]);
        check(&[("README.md", "[x](https://example.org/a.md) [y](mailto:a@example.org)")], &[]);
    }

    #[test]
    fn anchors_name_headings() {
        check(&[("a.md", "## The `two` words\n[x](#the-two-words)")], &[]);
        check(&[("a.md", "## One\n[x](#two)")], &["a heading that is not there"]);
        check(&[("a.md", "[x](b.md#two)"), ("b.md", "# One")], &["a heading that is not there"]);
    }

    #[test]
    fn code_holds_no_links() {
        check(&[("a.md", "```\n[x](nowhere.md)\n```\n`[x](nowhere.md)`")], &[]);
    }

    #[test]
    fn decisions_are_numbered_and_listed() {
        let index = ("docs/adr/README.md", "[0001](0001-a.md)");
        check(&[index, ("docs/adr/0001-a.md", "")], &[]);
        check(&[("docs/adr/README.md", ""), ("docs/adr/0001-a.md", "")], &["decisions is not listed"]);
        check(&[("docs/adr/README.md", "[a](a.md)"), ("docs/adr/a.md", "")], &["is not named NNNN"]);
        let twice = "[a](0001-a.md) [b](0001-b.md)";
        check(
            &[("docs/adr/README.md", twice), ("docs/adr/0001-a.md", ""), ("docs/adr/0001-b.md", "")],
            &["0001 is taken"],
        );
    }

    #[test]
    fn the_architecture_is_short_and_true() {
        check(&[("ARCHITECTURE.md", "`crates/a/src/`"), ("crates/a/src/lib.rs", "")], &[]);
        check(&[("ARCHITECTURE.md", "`crates/a/src/b.rs`")], &["rooms names `crates/a/src/b.rs`"]);
        let section = "## `mainstay-a`\n`src/b/`";
        check(&[("ARCHITECTURE.md", section), ("crates/mainstay-a/src/b/mod.rs", "")], &[]);
        check(&[("ARCHITECTURE.md", section)], &["names `crates/mainstay-a/src/b/`"]);
        check(
            &[("ARCHITECTURE.md", ""), ("crates/mainstay-a/src/b/mod.rs", "")],
            &["does not say what `crates/mainstay-a/src/b/` holds"],
        );
        check(&[("ARCHITECTURE.md", &"a\n".repeat(301))], &["size 301 lines"]);
    }
}
