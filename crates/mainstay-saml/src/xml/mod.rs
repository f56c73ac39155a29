//! XML as SAML needs it: a linear pre-scan, the parser behind it, and a view that keeps prefixes.

pub(crate) mod escape;
pub(crate) mod names;
mod prescan;
mod view;

use crate::refusal::{Fail, Refusal};

pub use prescan::Limits;
pub(crate) use view::{attribute, children, is, prefix_of_attribute, prefix_of_element, text_of};

/// A node of a parsed document.
pub(crate) type Node<'a> = roxmltree::Node<'a, 'a>;

/// Nodes (elements, texts, comments) that the parser makes per allowed element, and so the bound on its memory.
const NODES_PER_ELEMENT: u32 = 8;

/// The text of a document: UTF-8, one byte order mark and one XML declaration taken off.
///
/// The declaration must be of version 1.0 and, where it names an encoding, of UTF-8 (XML 1.0 section 2.8).
pub(crate) fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, Fail> {
    if bytes.len() > limits.bytes {
        return Err(too_large(limits.bytes, bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body = prescan::strip_declaration(text)?;
    // The parser would take off another mark.
    if body.starts_with('\u{feff}') { Err(Refusal::XmlMalformed.into()) } else { Ok(body) }
}

pub(crate) fn too_large(limit: usize, found: usize) -> Fail {
    Refusal::MessageTooLarge.expecting(&format!("at most {limit} bytes")).found(&format!("{found} bytes"))
}

/// Parses a document that [`decode`] returned.
pub(crate) fn parse<'a>(text: &'a str, limits: &Limits) -> Result<roxmltree::Document<'a>, Fail> {
    prescan::scan(text, limits)?;
    let elements = u32::try_from(limits.elements).unwrap_or(u32::MAX);
    let options = roxmltree::ParsingOptions {
        allow_dtd: false,
        nodes_limit: elements.saturating_mul(NODES_PER_ELEMENT),
        ..roxmltree::ParsingOptions::default()
    };
    roxmltree::Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => Refusal::XmlLimitExceeded.expecting("fewer nodes"),
        roxmltree::Error::DtdDetected => Refusal::DoctypeForbidden.into(),
        other => Refusal::XmlMalformed.found(&other.to_string()),
    })
}
