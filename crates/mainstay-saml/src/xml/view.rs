//! Small questions about parsed nodes.

use std::borrow::Cow;

use super::Node;

/// Whether the node is the element `name` of `namespace`.
pub(crate) fn is(node: Node<'_>, namespace: &str, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name && node.tag_name().namespace() == Some(namespace)
}

/// The element children.
pub(crate) fn children<'a>(node: Node<'a>) -> impl Iterator<Item = Node<'a>> {
    node.children().filter(Node::is_element)
}

/// The attribute `name` that is in no namespace.
pub(crate) fn attribute<'a>(node: Node<'a>, name: &str) -> Option<&'a str> {
    node.attributes().find(|a| a.namespace().is_none() && a.name() == name).map(|a| a.value())
}

/// The whole text of an element without element children; comments do not split it. `None` when there is an element.
pub(crate) fn text_of<'a>(node: Node<'a>) -> Option<Cow<'a, str>> {
    let mut text = Cow::Borrowed("");
    for child in node.children() {
        if child.is_text() {
            let piece = child.text().unwrap_or("");
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
        } else if !child.is_comment() {
            return None;
        }
    }
    Some(text)
}

/// The prefix of an element as written, which the parser itself does not keep; empty for none.
pub(crate) fn prefix_of_element<'a>(node: Node<'a>) -> &'a str {
    let tag = node.document().input_text().get(node.range()).unwrap_or("");
    let tag = tag.strip_prefix('<').unwrap_or(tag);
    let local = node.tag_name().name().len();
    match tag.find([':', ' ', '\t', '\n', '\r', '/', '>']) {
        Some(at) if tag.as_bytes().get(at) == Some(&b':') && local > 0 => tag.get(..at).unwrap_or(""),
        _ => "",
    }
}

/// The prefix of an attribute as written; empty for none.
pub(crate) fn prefix_of_attribute<'a>(node: Node<'a>, attribute: &roxmltree::Attribute<'a, 'a>) -> &'a str {
    let name = node.document().input_text().get(attribute.range_qname()).unwrap_or("");
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}
