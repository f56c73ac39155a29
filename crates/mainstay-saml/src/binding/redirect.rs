//! HTTP-Redirect binding (SAML bindings 3.4): deflate, base64, percent-encoding, and a signature over the raw query.

#[cfg(feature = "idp")]
use std::io::Read as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
#[cfg(feature = "idp")]
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

#[cfg(feature = "idp")]
use crate::refusal::{Fail, Refusal};
#[cfg(feature = "idp")]
use crate::xml::too_large;

/// Most octets that an inflated message may have; inflating stops there.
pub const MAX_INFLATED_BYTES: usize = crate::MAX_MESSAGE_BYTES;

/// The case of the hexadecimal digits in `%xx`. A signature is over the digits as sent, and ADFS computes it over lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PercentEncoding {
    /// `%2F`, as RFC 3986 recommends.
    #[default]
    Upper,
    /// `%2f`, as ADFS and Entra ID compute signatures.
    Lower,
}

/// Deflated and in base64.
pub(crate) fn deflate(xml: &str) -> String {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(xml.len()), Compression::default());
    let written = encoder.write_all(xml.as_bytes()).and_then(|()| encoder.finish());
    STANDARD.encode(written.unwrap_or_default())
}

/// The octets of a message that [`deflate`] or another sender packed; never more than [`MAX_INFLATED_BYTES`].
#[cfg(feature = "idp")]
pub(crate) fn inflate(packed: &str) -> Result<Vec<u8>, Fail> {
    if packed.len() > crate::binding::post::MAX_FIELD_BYTES {
        return Err(too_large(crate::binding::post::MAX_FIELD_BYTES, packed.len()));
    }
    let digits: Vec<u8> = packed.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(digits).map_err(|_| Refusal::NotBase64)?;
    let mut xml = Vec::new();
    let limit = u64::try_from(MAX_INFLATED_BYTES).unwrap_or(u64::MAX);
    let mut decoder = DeflateDecoder::new(bytes.as_slice()).take(limit.saturating_add(1));
    decoder.read_to_end(&mut xml).map_err(|_| Refusal::NotBase64.expecting("a deflated message"))?;
    if xml.len() > MAX_INFLATED_BYTES {
        return Err(too_large(MAX_INFLATED_BYTES, xml.len()));
    }
    Ok(xml)
}

/// Appends `text`, percent-encoded outside the unreserved characters of RFC 3986.
pub(crate) fn push_percent(out: &mut String, text: &str, encoding: PercentEncoding) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
            continue;
        }
        out.push('%');
        for nibble in [byte >> 4, byte & 15] {
            let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
            out.push(match encoding {
                PercentEncoding::Upper => digit.to_ascii_uppercase(),
                PercentEncoding::Lower => digit,
            });
        }
    }
}

/// Decodes a query value; `None` when it is not UTF-8 or an escape is cut off.
#[cfg(feature = "idp")]
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(bytes.next())? << 4 | digit(bytes.next())?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}
