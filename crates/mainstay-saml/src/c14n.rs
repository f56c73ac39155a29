//! Canonical XML: exclusive (the SAML default) and, where a policy allows it, inclusive 1.0 and 1.1.
//!
//! Sources: Exclusive XML Canonicalization 1.0 section 3; Canonical XML 1.0 and 1.1 section 2.

use roxmltree::{Attribute, NodeId};

use crate::refusal::{Fail, Refusal};
use crate::xml::{Node, names, prefix_of_attribute, prefix_of_element};

/// The family of a canonicalization method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Exclusive,
    Inclusive10,
    Inclusive11,
}

/// A canonicalization method with its parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Method<'a> {
    pub(crate) family: Family,
    pub(crate) comments: bool,
    /// The prefixes that exclusive canonicalization treats inclusively; empty text for the default namespace.
    pub(crate) prefixes: Vec<&'a str>,
}

impl Method<'_> {
    /// Exclusive canonicalization without comments and without a prefix list.
    #[cfg(feature = "idp")]
    pub(crate) const EXCLUSIVE: Method<'static> =
        Method { family: Family::Exclusive, comments: false, prefixes: Vec::new() };

    /// The family and comment flag that an algorithm identifier names.
    pub(crate) fn by_identifier(identifier: &str) -> Option<(Family, bool)> {
        Some(match identifier {
            "http://www.w3.org/2001/10/xml-exc-c14n#" => (Family::Exclusive, false),
            "http://www.w3.org/2001/10/xml-exc-c14n#WithComments" => (Family::Exclusive, true),
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315" => (Family::Inclusive10, false),
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments" => (Family::Inclusive10, true),
            "http://www.w3.org/2006/12/xml-c14n11" => (Family::Inclusive11, false),
            "http://www.w3.org/2006/12/xml-c14n11#WithComments" => (Family::Inclusive11, true),
            _ => return None,
        })
    }
}

/// The canonical octets of `apex` and what it holds, without the subtree `left_out`.
///
/// More than `limit` bytes are refused: a declaration that is repeated at every element could grow without bound.
pub(crate) fn canonicalize(
    apex: Node<'_>,
    method: &Method<'_>,
    left_out: Option<NodeId>,
    limit: usize,
) -> Result<Vec<u8>, Fail> {
    let source = apex.range().len();
    let mut writer = Writer {
        method,
        left_out,
        limit,
        out: Vec::with_capacity(source.saturating_add(512).min(limit)),
        rendered: Vec::new(),
        attributes: Vec::new(),
        declarations: Vec::new(),
        apex: apex.id(),
    };
    writer.element(apex)?;
    Ok(writer.out)
}

struct Writer<'w, 'a> {
    method: &'w Method<'w>,
    left_out: Option<NodeId>,
    limit: usize,
    out: Vec<u8>,
    /// Declarations written by the open elements, innermost last.
    rendered: Vec<(&'a str, &'a str)>,
    /// Scratch space, empty between start tags.
    attributes: Vec<(Attribute<'a, 'a>, &'a str)>,
    /// Scratch space, empty between start tags.
    declarations: Vec<(&'a str, &'a str)>,
    apex: NodeId,
}

impl<'a> Writer<'_, 'a> {
    fn element(&mut self, node: Node<'a>) -> Result<(), Fail> {
        if self.out.len() > self.limit {
            return Err(Refusal::XmlLimitExceeded
                .expecting(&format!("a canonical form of at most {} bytes", self.limit)));
        }
        let mark = self.rendered.len();
        let prefix = prefix_of_element(node);
        self.out.push(b'<');
        self.name(prefix, node.tag_name().name());
        self.start_tag(node, prefix);
        self.out.push(b'>');
        for child in node.children() {
            if Some(child.id()) == self.left_out {
                continue;
            }
            if child.is_element() {
                self.element(child)?;
            } else if child.is_text() {
                escape_text(&mut self.out, child.text().unwrap_or(""));
            } else if child.is_comment() && self.method.comments {
                self.out.extend_from_slice(b"<!--");
                self.out.extend_from_slice(child.text().unwrap_or("").as_bytes());
                self.out.extend_from_slice(b"-->");
            }
        }
        self.out.extend_from_slice(b"</");
        self.name(prefix, node.tag_name().name());
        self.out.push(b'>');
        self.rendered.truncate(mark);
        Ok(())
    }

    fn name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.out.extend_from_slice(prefix.as_bytes());
            self.out.push(b':');
        }
        self.out.extend_from_slice(local.as_bytes());
    }

    /// Declarations and attributes, in canonical order.
    fn start_tag(&mut self, node: Node<'a>, prefix: &'a str) {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.extend(node.attributes().map(|a| (a, prefix_of_attribute(node, &a))));
        match self.method.family {
            Family::Exclusive => self.declare_used(node, prefix, &attributes),
            Family::Inclusive10 | Family::Inclusive11 => {
                self.declare_all(node);
                if node.id() == self.apex {
                    self.inherit_xml_attributes(node, &mut attributes);
                }
            }
        }
        self.write_declarations();
        if attributes.len() > 1 {
            attributes.sort_by(|(a, _), (b, _)| {
                (a.namespace().unwrap_or(""), a.name()).cmp(&(b.namespace().unwrap_or(""), b.name()))
            });
        }
        for (attribute, prefix) in &attributes {
            self.out.push(b' ');
            self.name(prefix, attribute.name());
            self.out.extend_from_slice(b"=\"");
            escape_attribute(&mut self.out, attribute.value());
            self.out.push(b'"');
        }
        attributes.clear();
        self.attributes = attributes;
    }

    fn write_declarations(&mut self) {
        let mut declarations = std::mem::take(&mut self.declarations);
        declarations.sort_unstable();
        for (prefix, uri) in declarations.drain(..) {
            self.out.extend_from_slice(b" xmlns");
            if !prefix.is_empty() {
                self.out.push(b':');
                self.out.extend_from_slice(prefix.as_bytes());
            }
            self.out.extend_from_slice(b"=\"");
            escape_attribute(&mut self.out, uri);
            self.out.push(b'"');
            self.rendered.push((prefix, uri));
        }
        self.declarations = declarations;
    }

    /// Plans a declaration unless an output ancestor, or this element, already makes it.
    fn declare(&mut self, prefix: &'a str, uri: &'a str) {
        let written = self.rendered.iter().rev().find(|(p, _)| *p == prefix).map_or("", |(_, uri)| uri);
        if written != uri && !self.declarations.iter().any(|(p, _)| *p == prefix) {
            self.declarations.push((prefix, uri));
        }
    }

    /// Exclusive: the prefixes that this tag uses, and those of the prefix list that are in scope.
    fn declare_used(&mut self, node: Node<'a>, prefix: &'a str, attributes: &[(Attribute<'a, 'a>, &'a str)]) {
        if prefix != "xml" {
            self.declare(prefix, node.tag_name().namespace().unwrap_or(""));
        }
        for (attribute, prefix) in attributes {
            if !prefix.is_empty() && *prefix != "xml" {
                self.declare(prefix, attribute.namespace().unwrap_or(""));
            }
        }
        if self.method.prefixes.is_empty() {
            return;
        }
        for namespace in node.namespaces() {
            let prefix = namespace.name().unwrap_or("");
            if prefix != "xml" && self.method.prefixes.contains(&prefix) {
                self.declare(prefix, namespace.uri());
            }
        }
        if self.method.prefixes.contains(&"") && node.default_namespace().is_none() {
            self.declare("", "");
        }
    }

    /// Inclusive: everything in scope.
    fn declare_all(&mut self, node: Node<'a>) {
        for namespace in node.namespaces() {
            let prefix = namespace.name().unwrap_or("");
            if prefix != "xml" {
                self.declare(prefix, namespace.uri());
            }
        }
        if node.default_namespace().is_none() {
            self.declare("", "");
        }
    }

    /// Inclusive: an apex takes over the `xml:` attributes of its ancestors; 1.1 leaves `xml:id` alone.
    fn inherit_xml_attributes(&self, node: Node<'a>, attributes: &mut Vec<(Attribute<'a, 'a>, &'a str)>) {
        for ancestor in node.ancestors().skip(1).filter(Node::is_element) {
            for attribute in ancestor.attributes().filter(|a| a.namespace() == Some(names::XML)) {
                let known = attributes
                    .iter()
                    .any(|(a, _)| a.namespace() == Some(names::XML) && a.name() == attribute.name());
                let kept =
                    self.method.family == Family::Inclusive10 || matches!(attribute.name(), "lang" | "space");
                if kept && !known {
                    attributes.push((attribute, "xml"));
                }
            }
        }
    }
}

fn escape_text(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'\r' => Some(b"&#xD;"),
        _ => None,
    });
}

pub(crate) fn escape_attribute(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'"' => Some(b"&quot;"),
        b'\t' => Some(b"&#x9;"),
        b'\n' => Some(b"&#xA;"),
        b'\r' => Some(b"&#xD;"),
        _ => None,
    });
}

fn escape(out: &mut Vec<u8>, text: &str, replacement: impl Fn(u8) -> Option<&'static [u8]>) {
    let mut rest = text.as_bytes();
    while let Some((at, with)) = rest.iter().enumerate().find_map(|(at, b)| Some((at, replacement(*b)?))) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.extend_from_slice(with);
        rest = tail.get(1..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
}
