//! The flag by which an attempt learns that its result is not wanted any more.

use tokio::sync::watch;

/// The end that is pulled.
#[derive(Debug)]
pub(crate) struct Cancel(watch::Sender<bool>);

/// The end that listens.
#[derive(Debug, Clone)]
pub(crate) struct Cancelled(watch::Receiver<bool>);

impl Cancel {
    pub(crate) fn new() -> (Self, Cancelled) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Cancelled(receiver))
    }

    pub(crate) fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Cancelled {
    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the flag is set; for ever when it never is.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|set| *set).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
