//! What the book shows is code that is compiled and run: each block of Rust on its pages stands in this example, or in a test of the
//! engine, line by line.

use std::path::Path;

const SOURCES: [&str; 6] = [
    include_str!("../../src/bin/tea.rs"),
    include_str!("../../src/flow.rs"),
    include_str!("../../src/lib.rs"),
    include_str!("../../src/main.rs"),
    include_str!("changing.rs"),
    include_str!("../../../../crates/mainstay-workflow/tests/it/traces.rs"),
];

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// The blocks of Rust on a page.
fn blocks(page: &str) -> Vec<String> {
    let parts = page.split("```rust").skip(1);
    parts.map(|part| part.split_once('\n').unwrap().1.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_book_shows_code_that_is_tested() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src");
    for (page, least) in
        [("first-workflow.md", 5), ("changing-workflows.md", 2), ("workflow-operations.md", 1)]
    {
        let text = std::fs::read_to_string(book.join(page)).unwrap();
        let blocks = blocks(&text);
        assert!(blocks.len() >= least, "{page} has {} blocks of Rust", blocks.len());
        for block in blocks {
            let wanted = lines(&block);
            let is_there =
                SOURCES.iter().any(|source| lines(source).windows(wanted.len()).any(|part| part == wanted));
            assert!(is_there, "{page} shows what this example does not have:\n{block}");
        }
    }
}
