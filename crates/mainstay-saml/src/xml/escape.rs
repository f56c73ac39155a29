//! Writing XML and HTML: everything that comes from outside goes through here.

use std::fmt::Write as _;

/// Appends `text` as character data or as a double-quoted attribute value.
///
/// Characters that XML 1.0 cannot hold are left out, so that no value can make a document malformed.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            c if c.is_control() && c < ' ' => {}
            '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
}

/// ` name="value"`, escaped.
pub(crate) fn push_attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(out, value);
    out.push('"');
}

/// `<name>text</name>`, escaped.
pub(crate) fn push_element(out: &mut String, name: &str, text: &str) {
    let _ = write!(out, "<{name}>");
    push_escaped(out, text);
    let _ = write!(out, "</{name}>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_its_place() {
        let mut out = String::new();
        push_attribute(&mut out, "a", "\"/><x y='1'>&\u{0}\n\t\r\u{ffff}");
        assert_eq!(out, " a=\"&quot;/&gt;&lt;x y=&#39;1&#39;&gt;&amp;&#xA;&#x9;&#xD;\"");
    }
}
