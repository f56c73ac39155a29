//! The signature and digest algorithms that can be allowed at all.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// A kind of key; the sizes that are accepted are in [`Certificate`](crate::Certificate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// RSA, with the bits of the modulus.
    Rsa(u32),
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
}

impl KeyKind {
    /// Bytes of one coordinate, and so of `r` and of `s` in a signature; zero for RSA.
    pub(crate) const fn coordinate_bytes(self) -> usize {
        match self {
            Self::Rsa(_) => 0,
            Self::EcdsaP256 => 32,
            Self::EcdsaP384 => 48,
            Self::EcdsaP521 => 66,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::EcdsaP521 => f.write_str("ECDSA P-521"),
        }
    }
}

macro_rules! algorithms {
    ($(#[$meta:meta])* $name:ident: $($variant:ident $uri:literal $text:literal;)*) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = concat!("`", $uri, "`")] #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every algorithm of this kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The identifier of the standard.
            #[must_use]
            pub const fn identifier(self) -> &'static str {
                match self { $(Self::$variant => $uri,)* }
            }

            /// The algorithm with this identifier.
            #[must_use]
            pub fn from_identifier(identifier: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|algorithm| algorithm.identifier() == identifier)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }
    };
}

algorithms! {
    /// A signature algorithm (XML-DSig 6.4, RFC 6931). HMAC does not exist here: a public key can never become a shared secret.
    SignatureAlgorithm:
    RsaSha256 "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" "rsa-sha256";
    RsaSha384 "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" "rsa-sha384";
    RsaSha512 "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" "rsa-sha512";
    EcdsaSha256 "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" "ecdsa-sha256";
    EcdsaSha384 "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" "ecdsa-sha384";
    EcdsaSha512 "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512" "ecdsa-sha512";
    RsaSha1 "http://www.w3.org/2000/09/xmldsig#rsa-sha1" "rsa-sha1";
}

algorithms! {
    /// A digest algorithm (XML-DSig 6.2, RFC 6931).
    DigestAlgorithm:
    Sha256 "http://www.w3.org/2001/04/xmlenc#sha256" "sha256";
    Sha384 "http://www.w3.org/2001/04/xmldsig-more#sha384" "sha384";
    Sha512 "http://www.w3.org/2001/04/xmlenc#sha512" "sha512";
    Sha1 "http://www.w3.org/2000/09/xmldsig#sha1" "sha1";
}

impl SignatureAlgorithm {
    /// Whether the algorithm needs an RSA key.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512 | Self::RsaSha1)
    }

    /// Whether the algorithm is SHA-1, which only a dated override allows.
    #[must_use]
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::RsaSha1)
    }
}

impl DigestAlgorithm {
    /// Whether the algorithm is SHA-1, which only a dated override allows.
    #[must_use]
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::Sha1)
    }

    pub(crate) fn digest(self, octets: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        };
        digest::digest(algorithm, octets)
    }
}
