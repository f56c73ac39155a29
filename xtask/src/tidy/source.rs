//! What a source file must and must not hold: a module doc, SQL only in its rooms, no preludes.

use super::Finding;
use super::tree::{Tree, crate_source, is_test};
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Checks every Rust file that is not a test.
pub(super) fn findings(files: &Tree) -> Vec<Finding> {
    files.rust().flat_map(|(path, text)| of_file(path, text)).collect()
}

fn of_file(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if crate_source(path).is_some() || path.starts_with("xtask/src/") {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty());
        let documented = |line: &str| line.starts_with("//! ") || line.starts_with("#![doc = include_str!(");
        if !first.is_some_and(documented) {
            findings.push(Finding::new(
                "module-doc",
                path,
                "must start with a `//!` line that says what it is",
            ));
        }
    }
    if is_test(path) {
        return findings;
    }
    if let Ok(file) = syn::parse_file(text) {
        let mut visitor = Visitor { path, sql_is_at_home: sql_is_at_home(path), findings };
        visitor.visit_file(&file);
        findings = visitor.findings;
    }
    findings
}

/// The rooms where SQL text may lie.
fn sql_is_at_home(path: &str) -> bool {
    const CRATES: [&str; 4] = ["mainstay-repo", "mainstay-testkit", "mainstay-conformance", "mainstay-model"];
    const ROOMS: [&str; 3] = ["store", "migrations", "migrate"];
    let named = |part: &str| ROOMS.contains(&part.trim_end_matches(".rs"));
    match crate_source(path) {
        Some((name, inside)) => CRATES.contains(&name) || inside.split('/').any(named),
        None => true,
    }
}

/// Whether the text is a statement of SQL, written in capitals as we write it.
fn is_sql(text: &str) -> bool {
    const VERBS: [&str; 8] = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "WITH"];
    let text = text.trim_start();
    VERBS.iter().any(|verb| text.strip_prefix(verb).is_some_and(|rest| rest.starts_with(char::is_whitespace)))
}

struct Visitor<'a> {
    path: &'a str,
    sql_is_at_home: bool,
    findings: Vec<Finding>,
}

impl Visitor<'_> {
    fn add(&mut self, rule: &'static str, at: Span, message: &str) {
        self.findings.push(Finding::new(rule, format!("{}:{}", self.path, at.start().line), message));
    }

    fn literal(&mut self, text: &str, at: Span) {
        if !self.sql_is_at_home && is_sql(text) {
            self.add("sql", at, "SQL lies in mainstay-repo, in `store/` and in `migrations/` only");
        }
    }

    /// The arguments of a macro are tokens, not syntax.
    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    let at = literal.span();
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.literal(&text.value(), at);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident == "prelude" {
            self.add("prelude", item.ident.span(), "no preludes: a reader sees where each name comes from");
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let (through_prelude, at) = glob(&item.tree, false);
        if let Some(at) = at {
            if through_prelude {
                self.add("prelude", at, "no glob of a prelude outside tests: name what is used");
            } else if !matches!(item.vis, syn::Visibility::Inherited) {
                self.add("prelude", at, "no glob re-export: name what is public");
            }
        }
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {
        // Documentation may show SQL.
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.literal(&literal.value(), literal.span());
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}

/// The first glob in a `use`, and whether its path has a `prelude`.
fn glob(tree: &syn::UseTree, seen: bool) -> (bool, Option<Span>) {
    match tree {
        syn::UseTree::Path(path) => glob(&path.tree, seen || path.ident == "prelude"),
        syn::UseTree::Glob(star) => (seen, Some(star.star_token.span)),
        syn::UseTree::Group(group) => {
            let inside = group.items.iter().map(|tree| glob(tree, seen));
            inside.filter(|(_, at)| at.is_some()).max_by_key(|(prelude, _)| *prelude).unwrap_or((seen, None))
        }
        _ => (seen, None),
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]` or `#[test]`.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let rules: Vec<&str> = of_file(path, text).into_iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, expected, "{path}\n{text}");
    }

    #[test]
    fn a_file_says_what_it_is() {
        check("crates/a/src/b.rs", "//! What it is.\n", &[]);
        check("crates/a/src/lib.rs", "#![doc = include_str!(\"../docs/crate.md\")]\n", &[]);
        check("crates/a/src/b.rs", "// What it is.\n", &["module-doc"]);
        check("crates/a/src/b.rs", "", &["module-doc"]);
        check("crates/a/src/b/tests.rs", "use super::*;\n", &["module-doc"]);
        check("crates/a/tests/b.rs", "fn b() {}\n", &[]);
    }

    #[test]
    fn sql_has_its_rooms() {
        let sql = "//! A.\nfn f() { run(\"SELECT 1 FROM t\"); }\n";
        check("crates/mainstay-sso/src/login.rs", sql, &["sql"]);
        check("crates/mainstay-sso/src/store/login.rs", sql, &[]);
        check("crates/mainstay-sso/src/store.rs", sql, &[]);
        check("crates/mainstay-sso/src/migrations/first.rs", sql, &[]);
        check("crates/mainstay-repo/src/sqlite/writer.rs", sql, &[]);
        check("crates/mainstay-sso/tests/login.rs", sql, &[]);
        check("examples/embed-repo/src/main.rs", sql, &[]);
    }

    #[test]
    fn sql_is_known_by_its_first_word() {
        for text in ["SELECT 1", " \\n UPDATE t SET a = 1", "WITH a AS (x)", "DROP TABLE t"] {
            let text = format!("//! A.\nconst A: &str = \"{text}\";\n");
            check("crates/mainstay-sso/src/a.rs", &text, &["sql"]);
        }
        for text in ["Select one of them", "SELECT", "SELECTED rows", "please UPDATE it"] {
            let text = format!("//! A.\nconst A: &str = \"{text}\";\n");
            check("crates/mainstay-sso/src/a.rs", &text, &[]);
        }
    }

    #[test]
    fn sql_hides_neither_in_macros_nor_in_raw_strings() {
        let path = "crates/mainstay-sso/src/a.rs";
        check(path, "//! A.\nfn f() { format!(\"DELETE FROM {t}\"); }\n", &["sql"]);
        check(path, "//! A.\nfn f() { run(r#\"DELETE FROM t\"#); }\n", &["sql"]);
        check(path, "//! A.\n/// SELECT 1\nfn f() {}\n", &[]);
        check(path, "//! A.\n#[cfg(test)]\nmod tests { const A: &str = \"SELECT 1\"; }\n", &[]);
    }

    #[test]
    fn there_are_no_preludes() {
        let path = "crates/mainstay-sso/src/a.rs";
        check(path, "//! A.\npub mod prelude {}\n", &["prelude"]);
        check(path, "//! A.\nuse axum::prelude::*;\n", &["prelude"]);
        check(path, "//! A.\nuse a::{b, prelude::*};\n", &["prelude"]);
        check(path, "//! A.\npub use a::*;\n", &["prelude"]);
        check(path, "//! A.\nuse super::*;\n", &[]);
        check(path, "//! A.\n#[cfg(test)]\nmod tests { use proptest::prelude::*; }\n", &[]);
    }
}
