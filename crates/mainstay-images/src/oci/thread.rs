//! Work beside the runtime, on threads of its own.
//!
//! What only blocks runs in the runtime's pool. What waits *for* work of that pool must not: a few of these would take all threads of a
//! small pool, and what they wait for would never begin.

use std::io;
use std::thread;

use tokio::sync::oneshot;

use super::error::{Error, Result};

/// Work that runs on a thread of its own until it is done. Dropping this does not end it: it ends when what it waits for is gone.
#[derive(Debug)]
pub(crate) struct Beside<T> {
    outcome: oneshot::Receiver<Result<T>>,
    name: &'static str,
}

impl<T: Send + 'static> Beside<T> {
    /// Begins work. That the system has no thread left is its outcome.
    pub(crate) fn run(name: &'static str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        let (done, outcome) = oneshot::channel();
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nobody listens any more when the caller was dropped.
            drop(done.send(work()));
        });
        match started {
            Ok(_) => Self { outcome, name },
            Err(error) => {
                let (done, outcome) = oneshot::channel();
                drop(done.send(Err(Error::io(format_args!("starting the thread {name}"), error))));
                Self { outcome, name }
            }
        }
    }

    /// Waits for the end of the work.
    ///
    /// # Errors
    /// Those of the work; [`ErrorKind::Io`](super::ErrorKind::Io) when no thread could be started, or when it panicked.
    pub(crate) async fn outcome(self) -> Result<T> {
        let panicked = |_| {
            Error::io(format_args!("the thread {}", self.name), io::Error::other("it ended without a result"))
        };
        self.outcome.await.map_err(panicked)?
    }
}
