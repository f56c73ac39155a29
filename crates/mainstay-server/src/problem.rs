//! Errors on the wire: RFC 9457 problem documents with a stable `type`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use mainstay_repo::{Error as RepoError, ErrorKind};
use serde::Serialize;

/// What every `type` starts with.
pub const TYPE_BASE: &str = "https://mainstay.invalid/problems/";

/// How long a client is told to wait before it tries again.
const RETRY_AFTER_SECONDS: u32 = 2;

macro_rules! kinds {
    ($($name:ident $code:literal $status:ident $title:literal;)*) => {
        /// The sort of problem. Its code never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ProblemKind {
            $(#[doc = $title] $name,)*
        }

        impl ProblemKind {
            /// Every sort.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The last part of `type`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// A short text for people, the same for every problem of the sort.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

kinds! {
    Malformed "malformed" BAD_REQUEST "The request is malformed";
    NotSignedIn "not-signed-in" UNAUTHORIZED "Nobody is signed in";
    Forbidden "forbidden" FORBIDDEN "This is not allowed";
    ForeignOrigin "foreign-origin" FORBIDDEN "The form was sent by another site";
    SetupLink "setup-link" FORBIDDEN "The setup link cannot be used";
    StaleForm "stale-form" FORBIDDEN "The form is no longer valid";
    NotFound "not-found" NOT_FOUND "There is no such thing";
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The path exists, the method does not";
    Conflict "conflict" CONFLICT "The request clashes with what is stored";
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The request is larger than the limit";
    UnsupportedType "unsupported-type" UNSUPPORTED_MEDIA_TYPE "The body is not of a type that is read here";
    Unacceptable "unacceptable" UNPROCESSABLE_ENTITY "A value of the request cannot be stored";
    TooMany "too-many-requests" TOO_MANY_REQUESTS "Too many requests";
    WrongHost "wrong-host" MISDIRECTED_REQUEST "This server does not go by that name";
    Internal "internal" INTERNAL_SERVER_ERROR "The server failed";
    Corrupt "corrupt" INTERNAL_SERVER_ERROR "Stored data is damaged";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The service is not available at the moment";
    Draining "draining" SERVICE_UNAVAILABLE "The server is going down";
    OutcomeUnknown "outcome-unknown" GATEWAY_TIMEOUT "It is not known whether the change was made";
}

/// A problem: what is answered in place of a result.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemKind,
    detail: String,
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem with a text for this occurrence; it must hold nothing that a stranger may not read.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let waits = matches!(kind, ProblemKind::Unavailable | ProblemKind::Draining | ProblemKind::TooMany);
        Self { kind, detail: detail.into(), retry_after: waits.then_some(RETRY_AFTER_SECONDS) }
    }

    /// Says when to try again.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The sort.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The text for this occurrence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// When to try again.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after
    }
}

/// The document itself.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let document = Document {
            r#type: format!("{TYPE_BASE}{}", self.kind.code()),
            title: self.kind.title(),
            status: status.as_u16(),
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, body).into_response();
        // For the layer that gives people a page in place of the document.
        response.extensions_mut().insert(self.clone());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<RepoError> for Problem {
    /// Never shows the database's own words: they may hold names and values; the log has them.
    fn from(error: RepoError) -> Self {
        let (kind, detail) = of_kind(error.kind());
        if kind.status().is_server_error() {
            tracing::error!(%error, "the data layer failed");
        }
        Self::new(kind, detail)
    }
}

impl From<mainstay_sso::Error> for Problem {
    /// Shows the text only where the caller can act on it.
    fn from(error: mainstay_sso::Error) -> Self {
        use mainstay_sso::ErrorKind as Sso;
        let kind = match error.kind() {
            Sso::NotFound => ProblemKind::NotFound,
            Sso::SetupTokenInvalid | Sso::SetupTokenExpired | Sso::SetupTokenConsumed => {
                return Self::new(ProblemKind::SetupLink, setup_link(error.kind()));
            }
            Sso::Forbidden => ProblemKind::Forbidden,
            Sso::Invalid { .. } | Sso::Metadata => ProblemKind::Unacceptable,
            Sso::Busy | Sso::Unavailable => ProblemKind::Unavailable,
            Sso::Unknown => ProblemKind::OutcomeUnknown,
            Sso::Configuration | Sso::Internal => ProblemKind::Internal,
            _ => ProblemKind::Conflict,
        };
        if kind.status().is_server_error() {
            tracing::error!(%error, "sign-in failed");
            let detail = match kind {
                ProblemKind::Unavailable => "Nothing was changed; try again in a moment.",
                ProblemKind::OutcomeUnknown => "The change may have been made. Look before you repeat it.",
                _ => "The operator finds the cause in the log.",
            };
            return Self::new(kind, detail);
        }
        Self::new(kind, sentence(&error.to_string()))
    }
}

/// What whoever opened a setup link can do.
const fn setup_link(kind: &mainstay_sso::ErrorKind) -> &'static str {
    use mainstay_sso::ErrorKind as Sso;
    match kind {
        Sso::SetupTokenConsumed => {
            "It was used before, and it makes one administrator only. If that was not you, an operator looks at the audit."
        }
        Sso::SetupTokenExpired => {
            "It is too old. While nobody administrates, each start of the server prints a new one."
        }
        _ => {
            "It was never issued, or long ago. Copy the whole link that the last start of the server printed."
        }
    }
}

/// An error's text, which begins in the middle of a sentence, for people.
pub(crate) fn sentence(text: &str) -> String {
    // An identifier keeps its spelling.
    if text.split(' ').next().is_some_and(|word| word.contains('_')) {
        return text.to_owned() + if text.ends_with(['.', '?', '!']) { "" } else { "." };
    }
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

fn of_kind(kind: &ErrorKind) -> (ProblemKind, String) {
    let of = |kind: ProblemKind, detail: &str| (kind, detail.to_owned());
    match kind {
        ErrorKind::NotFound => of(ProblemKind::NotFound, "It does not exist, or no longer."),
        ErrorKind::Conflict { .. } | ErrorKind::ConditionFailed { .. } => {
            of(ProblemKind::Conflict, "What is stored has changed; read it again.")
        }
        ErrorKind::Constraint { .. } => of(ProblemKind::Unacceptable, "A value breaks a rule of the store."),
        ErrorKind::InvalidInput => of(ProblemKind::Malformed, "A value of the request cannot be read."),
        ErrorKind::Unknown { request_id } => (
            ProblemKind::OutcomeUnknown,
            format!("The change may have been made. Look before you repeat it; operation {request_id}."),
        ),
        ErrorKind::Corrupt => of(ProblemKind::Corrupt, "Do not retry; the operator has to look at the log."),
        ErrorKind::PermissionDenied
        | ErrorKind::Configuration
        | ErrorKind::Migration(_)
        | ErrorKind::Internal => of(ProblemKind::Internal, "The operator finds the cause in the log."),
        _ => of(ProblemKind::Unavailable, "Nothing was changed; try again in a moment."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<&str> = ProblemKind::ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ProblemKind::ALL.len());
    }

    #[test]
    fn a_problem_of_the_store_does_not_show_the_stores_words() {
        let problem = Problem::from(RepoError::new(ErrorKind::Internal, "password of table users"));
        assert!(!problem.detail().contains("users"));
        assert_eq!(problem.kind(), ProblemKind::Internal);
    }

    #[test]
    fn texts_for_people_are_sentences() {
        for (text, expected) in [
            ("the name is blank; write one", "The name is blank; write one."),
            ("élan", "Élan."),
            ("Done!", "Done!"),
            ("run_01 has ended", "run_01 has ended."),
        ] {
            assert_eq!(sentence(text), expected);
        }
    }

    #[test]
    fn what_may_pass_says_when_to_come_back() {
        let response = Problem::from(RepoError::new(ErrorKind::Unavailable, "away")).into_response();
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
