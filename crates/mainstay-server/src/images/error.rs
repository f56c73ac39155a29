//! What an error of `mainstay-images` is on the wire.

use mainstay_images::{Error, ErrorKind};

use crate::problem::{Problem, ProblemKind, sentence};

impl From<Error> for Problem {
    /// Shows the text only where the caller can act on it.
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Invalid { .. } => ProblemKind::Malformed,
            ErrorKind::Forbidden => ProblemKind::Forbidden,
            ErrorKind::NotFound => ProblemKind::NotFound,
            ErrorKind::Conflict | ErrorKind::InUse | ErrorKind::Stale | ErrorKind::CollectingOff => {
                ProblemKind::Conflict
            }
            ErrorKind::Refused => ProblemKind::Unacceptable,
            ErrorKind::Medium | ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::NoSpace => {
                ProblemKind::Unavailable
            }
            ErrorKind::Unknown => ProblemKind::OutcomeUnknown,
            ErrorKind::Corrupt | ErrorKind::Incomplete => ProblemKind::Corrupt,
            _ => ProblemKind::Internal,
        };
        if kind.status().is_server_error() {
            tracing::error!(%error, "images failed");
            let detail = match kind {
                ProblemKind::Unavailable => {
                    "The images or their directory cannot be had now; try again in a moment."
                }
                ProblemKind::OutcomeUnknown => "Look before doing it again.",
                _ => "The operator finds the cause in the log.",
            };
            return Self::new(kind, detail);
        }
        Self::new(kind, sentence(&error.to_string()))
    }
}
