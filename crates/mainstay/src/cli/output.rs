//! What commands print: text for people, or one JSON document with a named schema for programs.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use super::exit::Failure;

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    /// Whether standard error shows colours.
    colour: bool,
}

/// A JSON document: the schema's name never changes its meaning; fields may be added.
#[derive(Serialize)]
struct Document<'a, T> {
    schema: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    exit: &'a str,
    message: &'a str,
    help: Option<&'a str>,
}

impl Output {
    pub(crate) fn new(json: bool, no_colour: bool) -> Self {
        Self { json, colour: !no_colour && std::io::stderr().is_terminal() }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    pub(crate) const fn has_colour(self) -> bool {
        self.colour
    }

    /// Prints a result: the document, or the text.
    pub(crate) fn result<T: Serialize>(self, schema: &str, body: &T, text: impl FnOnce() -> String) {
        let mut text = if self.json { json(schema, body) } else { text() };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        // A reader that went away (`| head`) has what it wanted; it is no reason to fail, and none to panic.
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints why a command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let Failure { exit, message, help } = failure;
        if message.is_empty() {
            return;
        }
        if self.json {
            let body = ErrorBody { exit: exit.name(), message, help: help.as_deref() };
            say(&json("mainstay.error/1", &body));
            return;
        }
        let (red, bold, off) = if self.colour { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        say(&format!("{red}error:{off} {message}"));
        for line in help.iter().flat_map(|help| help.lines()) {
            say(&format!("{bold}  mend:{off} {line}"));
        }
    }

    /// Says something that is no result and no failure.
    pub(crate) fn warning(self, text: &str) {
        let (yellow, off) = if self.colour { ("\x1b[1;33m", "\x1b[0m") } else { ("", "") };
        say(&format!("{yellow}warning:{off} {text}"));
    }
}

/// One line on standard error; if nobody listens there, there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn json<T: Serialize>(schema: &str, body: &T) -> String {
    serde_json::to_string(&Document { schema, body }).unwrap_or_default()
}

/// Columns that are as wide as their widest cell; the last one runs free.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".to_owned(), "long".to_owned()], vec!["bcd".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["ID", "NAME"], &rows), "ID   NAME\na    long\nbcd  x\n");
        assert_eq!(table(&["ID"], &[]), "ID\n");
    }
}
