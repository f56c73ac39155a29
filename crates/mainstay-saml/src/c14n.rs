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

impl Family {
    /// The algorithm identifier of the family without comments.
    #[cfg(feature = "idp")]
    pub(crate) const fn identifier(self) -> &'static str {
        match self {
            Self::Exclusive => "http://www.w3.org/2001/10/xml-exc-c14n#",
            Self::Inclusive10 => "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
            Self::Inclusive11 => "http://www.w3.org/2006/12/xml-c14n11",
        }
    }
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
    /// A family without comments and without a prefix list.
    #[cfg(feature = "idp")]
    pub(crate) const fn plain(family: Family) -> Method<'static> {
        Method { family, comments: false, prefixes: Vec::new() }
    }

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
    writer.check_limit()?;
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
        self.check_limit()?;
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

    fn check_limit(&self) -> Result<(), Fail> {
        if self.out.len() <= self.limit {
            return Ok(());
        }
        Err(Refusal::XmlLimitExceeded.expecting(&format!("a canonical form of at most {} bytes", self.limit)))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xml::{Limits, decode, parse};

    const METHODS: [(Family, bool); 4] = [
        (Family::Exclusive, false),
        (Family::Exclusive, true),
        (Family::Inclusive10, false),
        (Family::Inclusive11, true),
    ];

    fn canonical(text: &str, family: Family, comments: bool, prefixes: &[&'static str]) -> String {
        let document = parse(decode(text.as_bytes(), &Limits::MESSAGE).unwrap(), &Limits::MESSAGE).unwrap();
        let method = Method { family, comments, prefixes: prefixes.to_vec() };
        let octets = canonicalize(document.root_element(), &method, None, 1 << 20).unwrap();
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn small_examples() {
        let exclusive = |text: &str| canonical(text, Family::Exclusive, false, &[]);
        for (text, form) in [
            ("<a/>", "<a></a>"),
            ("<a  b = 'x'\n c='y' />", "<a b=\"x\" c=\"y\"></a>"),
            ("<a xmlns:u='urn:u'><u:b/></a>", "<a><u:b xmlns:u=\"urn:u\"></u:b></a>"),
            ("<a xmlns='urn:a'><b xmlns=''/></a>", "<a xmlns=\"urn:a\"><b xmlns=\"\"></b></a>"),
            ("<a xmlns=''><b/></a>", "<a><b></b></a>"),
            (
                "<a xmlns:z='urn:1' xmlns:y='urn:2' z:x='' y:x='' x=''/>",
                "<a xmlns:y=\"urn:2\" xmlns:z=\"urn:1\" x=\"\" z:x=\"\" y:x=\"\"></a>",
            ),
            ("<a>&lt;&gt;&amp;&quot;&#13;<![CDATA[<]]>\r\n</a>", "<a>&lt;&gt;&amp;\"&#xD;&lt;\n</a>"),
            (
                "<a b='&lt;&gt;&amp;&quot;&#9;&#10;&#13;\t\r\n'/>",
                "<a b=\"&lt;>&amp;&quot;&#x9;&#xA;&#xD;  \"></a>",
            ),
            ("<a><!-- x -->y</a>", "<a>y</a>"),
            ("<a xml:lang='de'/>", "<a xml:lang=\"de\"></a>"),
        ] {
            assert_eq!(exclusive(text), form, "{text}");
        }
        let listed = canonical("<a xmlns='urn:d' xmlns:u='urn:u'/>", Family::Exclusive, true, &["u", "none"]);
        assert_eq!(listed, "<a xmlns=\"urn:d\" xmlns:u=\"urn:u\"></a>");
        let inclusive = canonical("<a xmlns:u='urn:u'><b/></a>", Family::Inclusive10, false, &[]);
        assert_eq!(inclusive, "<a xmlns:u=\"urn:u\"><b></b></a>");
    }

    #[test]
    fn the_output_is_held_to_its_limit() {
        let document = parse("<a>text</a>", &Limits::MESSAGE).unwrap();
        let method = Method { family: Family::Exclusive, comments: false, prefixes: Vec::new() };
        let within =
            |limit| canonicalize(document.root_element(), &method, None, limit).map_err(|fail| fail.refusal);
        assert_eq!(within(11), Ok(b"<a>text</a>".to_vec()));
        assert_eq!(within(10), Err(Refusal::XmlLimitExceeded));
    }

    #[test]
    fn an_inclusive_apex_takes_over_xml_attributes() {
        let text = "<a xml:lang='de' xml:id='i'><b xml:space='preserve'/></a>";
        let document = parse(text, &Limits::MESSAGE).unwrap();
        let inner = document.root_element().first_element_child().unwrap();
        for (family, form) in [
            (Family::Exclusive, "<b xml:space=\"preserve\"></b>"),
            (Family::Inclusive10, "<b xml:id=\"i\" xml:lang=\"de\" xml:space=\"preserve\"></b>"),
            (Family::Inclusive11, "<b xml:lang=\"de\" xml:space=\"preserve\"></b>"),
        ] {
            let method = Method { family, comments: false, prefixes: Vec::new() };
            let octets = canonicalize(inner, &method, None, 1 << 20).unwrap();
            assert_eq!(String::from_utf8(octets).unwrap(), form);
        }
    }

    /// Random elements: prefixes that are declared again and again, attributes, texts with everything that needs care.
    fn tree() -> impl Strategy<Value = String> {
        let text = "[a-c<>&\"'\t\n\r\u{e9}\u{1f600} ]{0,6}";
        let leaf = prop_oneof![
            text.prop_map(|text| text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('\r', "&#13;")),
            "[a-c ]{0,4}".prop_map(|text| format!("<!--{text}-->")),
            "[a-c<&]{0,4}".prop_map(|text| format!("<![CDATA[{text}]]>")),
        ];
        leaf.prop_recursive(5, 40, 4, move |inner| {
            let children = prop::collection::vec(inner, 0..4);
            (0..3_usize, 0..3_usize, 0..4_usize, text, children).prop_map(
                |(prefix, uri, declared, value, children)| {
                    let name = ["", "p:", "q:"].get(prefix).copied().unwrap_or("");
                    let declaration = [
                        String::new(),
                        format!(" xmlns=\"urn:{uri}\""),
                        format!(" xmlns:p=\"urn:{uri}\""),
                        format!(" xmlns:q=\"urn:x{uri}\""),
                    ];
                    let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
                    let declaration = declaration.get(declared).map_or("", String::as_str);
                    format!(
                        "<{name}e{declaration} b=\"{value}\" p:a=\"{uri}\">{}</{name}e>",
                        children.concat()
                    )
                },
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_canonical_form_is_its_own(inner in prop::collection::vec(tree(), 0..4)) {
            let text = format!("<r xmlns:p=\"urn:p\" xmlns:q=\"urn:q\">{}</r>", inner.concat());
            for (family, comments) in METHODS {
                for prefixes in [&[][..], &["p", ""][..]] {
                    let once = canonical(&text, family, comments, prefixes);
                    prop_assert_eq!(&canonical(&once, family, comments, prefixes), &once);
                }
            }
        }
    }
}
