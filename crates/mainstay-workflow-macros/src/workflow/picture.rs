//! The workflow in its own documentation: as a picture, and as text for who cannot see it.

use std::fmt::Write as _;

use mainstay_workflow_graph::definition::Workflow;
use mainstay_workflow_graph::render::{Overlay, svg, text};

/// Markdown for rustdoc. The picture is an image of its own, so that its style stays in it and it follows light and dark.
pub(super) fn documentation(workflow: &Workflow) -> String {
    let plain = Overlay::default();
    let picture = escaped(&svg(workflow, &plain));
    let text = text(workflow, &plain);
    format!(
        "<img alt=\"The steps as a picture; as text below\" src=\"data:image/svg+xml,{picture}\">\n\n```text\n{text}```"
    )
}

/// Everything but what a data URL holds as it is.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/=;,()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
