//! What goes wrong with images from outside: refusals of content, and failures of what carries it.

use std::fmt;
use std::io;

use super::refusal::Refusal;

/// The module's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Match on it to decide what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The content breaks a rule; the same content never gets in.
    Refused(Refusal),
    /// An argument is wrong: a reference, an option.
    Invalid,
    /// The image, tag or blob is not there.
    NotFound,
    /// The image is not made for the platform that was asked for, or does not say for which it is.
    OtherPlatform,
    /// Something is there already that would be written over.
    Exists,
    /// The registry wants other credentials.
    Unauthorized,
    /// The proxy on the way to the registry wants other credentials; the registry was not asked.
    Proxy,
    /// The registry cannot be reached or does not serve now; later it may.
    Unavailable,
    /// The registry answers what the distribution specification does not know, or refuses.
    Registry,
    /// A file could not be read or written.
    Io(io::ErrorKind),
    /// A program that is needed is not installed.
    MissingTool,
    /// A program that was called failed.
    Tool,
    /// What was asked for needs a right that this process does not have.
    NeedsPrivilege,
    /// The store failed; the source says how.
    Store,
}

/// What happened, why, and what mends it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), source: None }
    }

    pub(crate) fn io(what: impl fmt::Display, error: io::Error) -> Self {
        // A refusal travels through readers as the inside of an `io::Error`.
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::new(ErrorKind::Io(error.kind()), format!("{what}: {error}")).with(error),
        }
    }

    pub(crate) fn store(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(ErrorKind::Store, format!("the image store: {error}")).with(error)
    }

    #[must_use]
    pub(crate) fn with(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What the store said, if it was the store.
    pub(crate) fn store_kind(&self) -> Option<crate::ErrorKind> {
        let source = self.source.as_ref()?.downcast_ref::<crate::Error>()?;
        Some(source.kind().clone())
    }

    /// Says first what it happened to.
    #[must_use]
    pub(crate) fn about(mut self, what: impl fmt::Display) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// What to match on.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Why the content was refused, if it was.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &self.kind {
            ErrorKind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        Self::new(ErrorKind::Refused(refusal), text)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Error::from(refusal).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_a_reader() {
        let refusal = Refusal::TooManyLayers { found: 128 };
        let error = Error::io("reading", io::Error::from(refusal.clone()));
        assert_eq!(error.refusal(), Some(&refusal));
        let plain = Error::io("reading a", io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(plain.kind(), &ErrorKind::Io(io::ErrorKind::NotFound));
        assert!(plain.to_string().starts_with("reading a: "));
    }
}
