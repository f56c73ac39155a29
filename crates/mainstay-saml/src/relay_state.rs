//! RelayState as an opaque handle, and the guard for paths to return to.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const PREFIX: &str = "rs_";

/// Longest path that [`check_return_path`] takes, in bytes.
pub const MAX_RETURN_PATH_BYTES: usize = 2048;

/// An opaque handle: `rs_` and the base64url of 16 random octets. It says nothing and leads nowhere by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RelayState(String);

impl RelayState {
    /// The handle of 16 fresh random octets.
    #[must_use]
    pub fn from_random(random: &[u8; 16]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
    }

    /// Reads a handle that came back; `None` for anything that [`from_random`](Self::from_random) does not make.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let octets = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (octets.len() == 16).then(|| Self(text.to_owned()))
    }

    /// The text, 25 characters of the URL-safe alphabet.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelayState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a path to return to was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnPathRefusal {
    /// It does not start with exactly one slash: a scheme, a host or a relative path.
    NotLocal,
    /// It has a backslash, which browsers read as a slash.
    Backslash,
    /// It has white space, a control character or a character that must be percent-encoded.
    ForbiddenCharacter,
    /// It has a `.` or `..` segment, plain or encoded, or an encoded slash or backslash.
    Traversal,
    /// It is longer than [`MAX_RETURN_PATH_BYTES`].
    TooLong,
}

impl fmt::Display for ReturnPathRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotLocal => "the path to return to must start with exactly one slash",
            Self::Backslash => "the path to return to must not have a backslash",
            Self::ForbiddenCharacter => "the path to return to has a character that must be percent-encoded",
            Self::Traversal => "the path to return to must not have dot segments or encoded slashes",
            Self::TooLong => "the path to return to is too long",
        })
    }
}

impl std::error::Error for ReturnPathRefusal {}

/// Takes only an absolute path on this host, so that a login cannot become an open redirect.
///
/// # Errors
/// [`ReturnPathRefusal`], with the exact reason.
pub fn check_return_path(path: &str) -> Result<&str, ReturnPathRefusal> {
    if path.len() > MAX_RETURN_PATH_BYTES {
        return Err(ReturnPathRefusal::TooLong);
    }
    if path.contains('\\') {
        return Err(ReturnPathRefusal::Backslash);
    }
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(ReturnPathRefusal::NotLocal);
    }
    if !path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'^'))
    {
        return Err(ReturnPathRefusal::ForbiddenCharacter);
    }
    let only_path = path.split(['?', '#']).next().unwrap_or("");
    let lower = only_path.to_ascii_lowercase();
    if ["%2f", "%5c", "%00", "%0d", "%0a"].iter().any(|escape| lower.contains(escape)) {
        return Err(ReturnPathRefusal::Traversal);
    }
    let plain = lower.replace("%2e", ".");
    if plain.split('/').skip(1).any(|segment| matches!(segment, "." | "..")) {
        return Err(ReturnPathRefusal::Traversal);
    }
    Ok(path)
}
