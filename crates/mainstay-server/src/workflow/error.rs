//! What an error of `mainstay-workflow` is on the wire.

use mainstay_repo::Error as RepoError;
use mainstay_workflow::{Error, ErrorKind};

use crate::problem::{Problem, ProblemKind, sentence};

impl From<Error> for Problem {
    /// Shows the text only where the caller can act on it.
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound | ErrorKind::UnknownWorkflow | ErrorKind::UnknownVersion => {
                ProblemKind::NotFound
            }
            ErrorKind::UnknownFilter { .. } | ErrorKind::InvalidInput => ProblemKind::Malformed,
            ErrorKind::BadKey | ErrorKind::UnknownSignal => ProblemKind::Unacceptable,
            ErrorKind::Forbidden => ProblemKind::Forbidden,
            ErrorKind::TooLarge { .. } => ProblemKind::TooLarge,
            ErrorKind::AlreadyRunning { .. }
            | ErrorKind::Refused(_)
            | ErrorKind::Ended
            | ErrorKind::MailboxFull
            | ErrorKind::Active
            | ErrorKind::Managed
            | ErrorKind::Foreign
            | ErrorKind::Stale
            | ErrorKind::OtherGraph
            | ErrorKind::NodesAtWork { .. } => ProblemKind::Conflict,
            ErrorKind::Database(kind) => return RepoError::new(kind.clone(), error.to_string()).into(),
            ErrorKind::Closed => ProblemKind::Unavailable,
            ErrorKind::Corrupt => ProblemKind::Corrupt,
            _ => ProblemKind::Internal,
        };
        if kind.status().is_server_error() {
            tracing::error!(%error, "workflows failed");
            let detail = match kind {
                ProblemKind::Unavailable => "Nothing was changed; try again in a moment.",
                ProblemKind::Corrupt => "Do not retry; the operator has to look at the log.",
                _ => "The operator finds the cause in the log.",
            };
            return Self::new(kind, detail);
        }
        Self::new(kind, sentence(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_learns_what_they_can_act_on_and_nothing_of_the_store() {
        let told = Problem::from(Error::new(ErrorKind::Ended, "run_x has ended").with_help("start another"));
        assert_eq!((told.kind(), told.detail()), (ProblemKind::Conflict, "run_x has ended; start another."));
        let database = ErrorKind::Database(mainstay_repo::ErrorKind::Unavailable);
        let kept = Problem::from(Error::new(database, "password of table wf_runs"));
        assert_eq!(kept.kind(), ProblemKind::Unavailable);
        assert!(!kept.detail().contains("wf_runs"));
    }
}
