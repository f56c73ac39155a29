//! HTTP-POST binding (SAML bindings 3.5): base64 in a form field.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::refusal::{Fail, Refusal};
use crate::xml::escape::{push_attribute, push_escaped};
use crate::xml::too_large;

/// Longest form field: the base64 of [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES), with room for line breaks.
pub const MAX_FIELD_BYTES: usize = crate::MAX_MESSAGE_BYTES / 3 * 4 + crate::MAX_MESSAGE_BYTES / 16;

/// The message in a form field. White space between the digits is tolerated, nothing else is.
pub(crate) fn decode(field: &str) -> Result<Vec<u8>, Fail> {
    if field.len() > MAX_FIELD_BYTES {
        return Err(too_large(MAX_FIELD_BYTES, field.len()));
    }
    // White space is rare, so it is looked for only when the field does not decode as it is.
    let bytes = STANDARD.decode(field).or_else(|_| {
        let digits: Vec<u8> = field.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        STANDARD.decode(digits).map_err(|_| Fail::from(Refusal::NotBase64))
    })?;
    if bytes.is_empty() { Err(Refusal::NotBase64.into()) } else { Ok(bytes) }
}

/// A page whose form sends itself: `field` is `SAMLRequest` or `SAMLResponse`, `value` its base64.
///
/// Every value is escaped. The script has no inline handler, so that a policy can allow it by its hash; without scripts the
/// page shows a button.
#[must_use]
pub fn post_form(action_url: &str, field: &str, value: &str, relay_state: Option<&str>) -> String {
    let mut page = String::from(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>Sign-in</title></head><body><form method=\"post\"",
    );
    push_attribute(&mut page, "action", action_url);
    page.push('>');
    let fields = [Some((field, value)), relay_state.map(|state| ("RelayState", state))];
    for (name, value) in fields.into_iter().flatten() {
        page.push_str("<input type=\"hidden\"");
        push_attribute(&mut page, "name", name);
        push_attribute(&mut page, "value", value);
        page.push('>');
    }
    page.push_str("<noscript><button>");
    push_escaped(&mut page, "Continue");
    page.push_str("</button></noscript></form><script>");
    page.push_str(POST_FORM_SCRIPT);
    page.push_str("</script></body></html>");
    page
}

/// The script of [`post_form`], for a content security policy's hash.
pub const POST_FORM_SCRIPT: &str = "document.forms[0].submit()";
