//! Small rooms: how long a file and a function may be.

use super::Finding;
use super::allow::{Allow, FILE as ALLOW_FILE};
use super::tree::{Tree, crate_source, is_test};
use syn::visit::{self, Visit};

const RULE: &str = "size";
const FILE_LIMIT: usize = 800;
const LIB_LIMIT: usize = 120;
const FUNCTION_LIMIT: usize = 70;

/// Something with a length: a file (no name) or a function of it.
#[derive(Debug)]
struct Measured {
    path: String,
    name: Option<String>,
    lines: usize,
    limit: usize,
}

/// Compares every file and function with its limit, and the allow list with what is there.
pub(super) fn findings(files: &Tree, allow: &Allow) -> Vec<Finding> {
    let (measured, mut findings) = measure(files);
    let mut unused: Vec<Entry<'_>> = entries(allow).collect();
    for thing in measured.iter().filter(|thing| thing.lines > thing.limit) {
        let place = thing.name.as_ref().map_or(thing.path.clone(), |name| format!("{}: {name}", thing.path));
        let at =
            unused.iter().position(|entry| entry.path == thing.path && entry.name == thing.name.as_deref());
        let recorded = at.map(|at| unused.remove(at).lines);
        let Measured { lines, limit, .. } = *thing;
        match recorded {
            None => findings.push(Finding::new(RULE, place, format!("{lines} lines; at most {limit}"))),
            Some(recorded) if recorded < lines => {
                let message = format!("grew to {lines} lines; {ALLOW_FILE} allows {recorded}");
                findings.push(Finding::new(RULE, place, message));
            }
            Some(recorded) if recorded > lines => {
                let message = format!("shrank to {lines} lines: lower its {recorded} in {ALLOW_FILE}");
                findings.push(Finding::new(RULE, place, message));
            }
            Some(_) => {}
        }
    }
    findings.extend(unused.into_iter().map(|entry| {
        let what = entry.name.map_or(entry.path.to_owned(), |name| format!("{}: {name}", entry.path));
        Finding::new(RULE, ALLOW_FILE, format!("{what} is within the limit or gone: remove the entry"))
    }));
    findings
}

#[derive(Debug)]
struct Entry<'a> {
    path: &'a str,
    name: Option<&'a str>,
    lines: usize,
}

fn entries(allow: &Allow) -> impl Iterator<Item = Entry<'_>> {
    let files = allow.file.iter().map(|e| Entry { path: &e.path, name: None, lines: e.lines });
    let functions =
        allow.function.iter().map(|e| Entry { path: &e.path, name: Some(&e.name), lines: e.lines });
    files.chain(functions)
}

fn measure(files: &Tree) -> (Vec<Measured>, Vec<Finding>) {
    let mut measured = Vec::new();
    let mut findings = Vec::new();
    for (path, text) in files.rust() {
        let is_lib = crate_source(path).is_some_and(|(_, inside)| inside == "lib.rs");
        let limit = if is_lib { LIB_LIMIT } else { FILE_LIMIT };
        measured.push(Measured { path: path.to_owned(), name: None, lines: text.lines().count(), limit });
        if is_test(path) {
            continue;
        }
        match functions(text) {
            Ok(functions) => measured.extend(functions.into_iter().map(|(name, lines)| Measured {
                path: path.to_owned(),
                name: Some(name),
                lines,
                limit: FUNCTION_LIMIT,
            })),
            Err(problem) => findings.push(Finding::new(RULE, path, format!("does not parse: {problem}"))),
        }
    }
    (measured, findings)
}

/// Every function with its lines from `fn` to the closing brace.
fn functions(text: &str) -> syn::Result<Vec<(String, usize)>> {
    let mut found = Functions { found: Vec::new() };
    found.visit_file(&syn::parse_file(text)?);
    Ok(found.found)
}

struct Functions {
    found: Vec<(String, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        self.found.push((signature.ident.to_string(), last + 1 - first.min(last)));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::super::allow;
    use super::*;

    fn function(lines: usize) -> String {
        format!("/// Not counted.\nfn long() {{\n{}}}\n", "    one();\n".repeat(lines - 2))
    }

    /// One file and an allow list in; the one expected message, or none, out.
    fn check(path: &str, text: &str, allowed: &str, expected: Option<&str>) {
        let told = findings(&Tree::of(&[(path, text)]), &allow::parse(allowed).unwrap());
        match expected {
            None => assert!(told.is_empty(), "{told:?}"),
            Some(expected) => {
                assert!(told.len() == 1 && told[0].message.contains(expected), "{told:?}");
            }
        }
    }

    #[test]
    fn a_function_has_a_limit() {
        check("crates/a/src/b.rs", &function(70), "", None);
        check("crates/a/src/b.rs", &function(71), "", Some("71 lines; at most 70"));
        check("crates/a/src/b.rs", &format!("impl A {{\n{}}}", function(71)), "", Some("71 lines"));
        check("crates/a/src/b.rs", &format!("trait A {{\n{}}}", function(71)), "", Some("71 lines"));
        check("xtask/src/b.rs", &function(71), "", Some("71 lines"));
        check("examples/a/src/main.rs", &function(71), "", Some("71 lines"));
        check("crates/a/tests/b.rs", &function(71), "", None);
    }

    #[test]
    fn a_file_has_a_limit() {
        check("crates/a/src/b.rs", &"//\n".repeat(800), "", None);
        check("crates/a/src/b.rs", &"//\n".repeat(801), "", Some("801 lines; at most 800"));
        check("crates/a/tests/b.rs", &"//\n".repeat(801), "", Some("801 lines; at most 800"));
        check("crates/a/src/lib.rs", &"//\n".repeat(121), "", Some("121 lines; at most 120"));
    }

    #[test]
    fn the_allow_list_only_shrinks() {
        let entry = |lines: usize| {
            format!(
                "[[function]]\npath = \"crates/a/src/b.rs\"\nname = \"long\"\nlines = {lines}\nreason = \"a table\"\n"
            )
        };
        check("crates/a/src/b.rs", &function(90), &entry(90), None);
        check("crates/a/src/b.rs", &function(91), &entry(90), Some("grew to 91"));
        check("crates/a/src/b.rs", &function(89), &entry(90), Some("lower its 90"));
        check("crates/a/src/b.rs", &function(60), &entry(90), Some("remove the entry"));
        check("crates/a/src/c.rs", &function(60), &entry(90), Some("remove the entry"));
    }

    #[test]
    fn what_does_not_parse_is_told() {
        check("crates/a/src/b.rs", "fn {", "", Some("does not parse"));
    }
}
