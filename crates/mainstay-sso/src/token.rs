//! Secrets that a browser carries. The database sees only their SHA-256.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::Secret;

use crate::error::{Error, Result};
use crate::random::{Random, octets};

/// How many random octets a secret has.
const SECRET_OCTETS: usize = 32;

/// SHA-256 of a text.
pub(crate) fn sha256(data: &[u8]) -> Vec<u8> {
    digest(&SHA256, data).as_ref().to_vec()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(octets: &[u8]) -> String {
    use fmt::Write as _;
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

macro_rules! token_type {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $field:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name(Secret<String>);

        impl $name {
            /// What the text form starts with.
            pub const PREFIX: &'static str = $prefix;

            /// A new secret.
            pub(crate) fn generate(random: &dyn Random) -> Result<Self> {
                let octets = octets::<SECRET_OCTETS>(random)?;
                Ok(Self(Secret::new(format!("{}{}", $prefix, URL_SAFE_NO_PAD.encode(octets)))))
            }

            /// Takes what a browser sent.
            ///
            /// # Errors
            /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it cannot be one of ours.
            pub fn parse(text: &str) -> Result<Self> {
                let octets = text.strip_prefix($prefix).and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
                if octets.is_some_and(|octets| octets.len() == SECRET_OCTETS) {
                    return Ok(Self(Secret::new(text.to_owned())));
                }
                Err(Error::invalid($field, concat!("this is not a ", $field)))
            }

            /// The secret itself, for the cookie or the link.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose()
            }

            pub(crate) fn hash(&self) -> Vec<u8> {
                sha256(self.0.expose().as_bytes())
            }
        }
    };
}

token_type! {
    /// Ties a login to the browser that began it; belongs in a `__Host-` cookie.
    BrowserBinding, "bb_", "browser binding"
}

token_type! {
    /// Opens a session; belongs in a `__Host-` cookie.
    SessionToken, "st_", "session token"
}

token_type! {
    /// Makes the first administrator's session, once.
    SetupToken, "setup_", "setup token"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn tokens_round_trip_and_never_print() {
        let token = SessionToken::generate(&SystemRandom).unwrap();
        assert_eq!(SessionToken::parse(token.expose()).unwrap().hash(), token.hash());
        assert!(!format!("{token:?}").contains(token.expose()));
        assert_ne!(SessionToken::generate(&SystemRandom).unwrap().hash(), token.hash());
    }

    #[test]
    fn another_kind_or_length_is_refused() {
        let binding = BrowserBinding::generate(&SystemRandom).unwrap();
        let as_session = binding.expose().replace("bb_", "st_x");
        for text in ["", "st_", "st_AAAA", binding.expose(), &as_session] {
            assert!(SessionToken::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hexadecimal_keeps_leading_zeros() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
    }
}
