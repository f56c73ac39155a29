//! Bells between processes: `NOTIFY` on a pooled session, `LISTEN` on a connection of its own.
//!
//! `NOTIFY` takes a lock on the whole database for the length of its commit, so it is in no transaction that does anything else, and that
//! commit does not wait for the disk. Rings gather while one is under way.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::AsyncMessage;

use super::error::{Fault, from_connect, no_answer};
use super::pool::Pool;
use crate::bell::Listeners;
use crate::error::{Error, ErrorKind, Result};

/// All bells of all programs share it; the payload says which one rang.
const CHANNEL: &str = "mainstay_bell";
/// At most so often are rings sent.
const RING_EVERY: Duration = Duration::from_millis(10);
/// How long sending may take; then the rings are lost.
const SEND_LIMIT: Duration = Duration::from_secs(1);
/// How long closing waits for the last rings.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// The first pause after listening failed, doubled with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Sends rings and hears those of other processes.
#[derive(Debug)]
pub(super) struct Notifier {
    shared: Arc<Shared>,
    ringer: Mutex<Option<JoinHandle<()>>>,
    listener: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    pool: Arc<Pool>,
    listeners: Arc<Listeners>,
    /// Whose rings these are, and of which schema: who sent one does not hear it again.
    sender: String,
    schema: String,
    unsent: Mutex<BTreeSet<Arc<str>>>,
    has_rung: Notify,
    is_wanted: Notify,
    is_closing: AtomicBool,
}

impl Notifier {
    /// Waits for the first ring and the first listener, and costs nothing until then.
    pub(super) fn start(pool: &Arc<Pool>, schema: Option<&str>, listeners: Arc<Listeners>) -> Result<Self> {
        let mut sender = [0; 8];
        aws_lc_rs::rand::fill(&mut sender)
            .map_err(|_unspecified| Error::new(ErrorKind::Internal, "the system gave no random numbers"))?;
        let shared = Arc::new(Shared {
            pool: Arc::clone(pool),
            listeners,
            sender: format!("{:016x}", u64::from_le_bytes(sender)),
            // Where tables go when the URL names no schema, unless the server was told otherwise: then rings get lost between a program that
            // names it and one that does not.
            schema: schema.unwrap_or("public").to_owned(),
            unsent: Mutex::default(),
            has_rung: Notify::new(),
            is_wanted: Notify::new(),
            is_closing: AtomicBool::new(false),
        });
        let ringer = tokio::spawn(Arc::clone(&shared).send());
        let listener = tokio::spawn(Arc::clone(&shared).listen());
        Ok(Self { shared, ringer: Mutex::new(Some(ringer)), listener })
    }

    /// Sends a ring soon.
    pub(super) fn ring(&self, topic: &Arc<str>) {
        self.shared.unsent().insert(Arc::clone(topic));
        self.shared.has_rung.notify_one();
    }

    /// Listens from now on.
    pub(super) fn listen(&self) {
        self.shared.is_wanted.notify_one();
    }

    /// Sends the last rings, and listens no more.
    pub(super) async fn close(&self) {
        self.listener.abort();
        self.shared.is_closing.store(true, Ordering::Release);
        self.shared.has_rung.notify_one();
        let ringer = self.ringer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ringer) = ringer
            && timeout(CLOSE_LIMIT, ringer).await.is_err()
        {
            tracing::debug!("the last rings were not sent in time");
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.listener.abort();
        if let Some(ringer) = self.ringer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            ringer.abort();
        }
    }
}

impl Shared {
    fn unsent(&self) -> std::sync::MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what has gathered, again and again.
    async fn send(self: Arc<Self>) {
        loop {
            self.has_rung.notified().await;
            let is_closing = self.is_closing.load(Ordering::Acquire);
            let topics = std::mem::take(&mut *self.unsent());
            if !topics.is_empty() {
                match self.notify(&topics).await {
                    Ok(()) => metrics::counter!("mainstay_repo_rings_sent_total").increment(1),
                    Err(error) => tracing::debug!(%error, "rings were lost; who listens asks all the same"),
                }
            }
            if is_closing {
                return;
            }
            sleep(RING_EVERY).await;
        }
    }

    async fn notify(&self, topics: &BTreeSet<Arc<str>>) -> Result<()> {
        // Topics, schema and sender need no quotes: they were checked, or made here. The commit of a ring is worth no wait for the disk.
        let mut text = String::from("SELECT set_config('synchronous_commit', 'off', true)");
        for topic in topics {
            text.push_str(&format!(", pg_notify('{CHANNEL}', '{} {} {topic}')", self.sender, self.schema));
        }
        let deadline = Instant::now() + SEND_LIMIT;
        let mut again = true;
        loop {
            let mut lent = self.pool.lend(deadline).await?;
            let session = &mut lent.session;
            let sent = timeout_at(deadline, session.wire.drive(session.desk.simple(&text))).await;
            let fault = match sent {
                Ok(Ok(())) => {
                    lent.give_back().await;
                    return Ok(());
                }
                Ok(Err(fault)) => fault,
                Err(_elapsed) => Fault::Silent,
            };
            // Ringing twice does no harm.
            let repeat = again && lent.reused && !fault.leaves_connection();
            if fault.leaves_connection() {
                lent.give_back().await;
            }
            if !repeat {
                return Err(fault.into_error(&self.pool.link.place));
            }
            again = false;
        }
    }

    /// Listens, again and again, from when somebody wants to.
    async fn listen(self: Arc<Self>) {
        self.is_wanted.notified().await;
        if !self.pool.link.listens {
            tracing::debug!("behind a pooler, or as the URL says, other processes' rings are not heard here");
            return;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let Err(error) = self.hear().await;
            metrics::gauge!("mainstay_repo_listening").set(0.0);
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tracing::warn!(%error, ?pause, "other processes' rings are not heard at the moment; who listens asks all the same");
            // Processes that lost the same server do not come back at the same moment.
            sleep(pause / 2 + pause.mul_f64(share())).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Listens until the connection ends.
    async fn hear(&self) -> Result<Infallible> {
        let link = &self.pool.link;
        let late = || no_answer(&link.place, link.connect_limit);
        let (client, mut connection) =
            timeout(link.connect_limit, link.dial()).await.map_err(|_elapsed| late())??;
        let ended = |source: Option<tokio_postgres::Error>| match source {
            Some(source) => from_connect(source, &link.place),
            None => Error::new(
                ErrorKind::Unavailable,
                format!("the server at {} ended the connection", link.place),
            ),
        };
        let text = format!("LISTEN {CHANNEL}");
        let listens = async {
            let mut asked = pin!(client.batch_execute(&text));
            loop {
                tokio::select! {
                    biased;
                    answer = &mut asked => return answer.map_err(|source| from_connect(source, &link.place)),
                    message = poll_fn(|context| connection.poll_message(context)) => match message {
                        Some(Ok(message)) => self.heard(&message),
                        Some(Err(source)) => return Err(ended(Some(source))),
                        None => return Err(ended(None)),
                    }
                }
            }
        };
        timeout(link.connect_limit, listens).await.map_err(|_elapsed| late())??;
        metrics::gauge!("mainstay_repo_listening").set(1.0);
        // What rang before was not heard.
        self.listeners.wake_all();
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(message)) => self.heard(&message),
                Some(Err(source)) => return Err(ended(Some(source))),
                None => return Err(ended(None)),
            }
        }
    }

    /// Anybody who may connect may notify: what does not look like a ring is not one, and a ring only causes a look.
    fn heard(&self, message: &AsyncMessage) {
        let AsyncMessage::Notification(notification) = message else { return };
        let mut words = notification.payload().splitn(3, ' ');
        let (Some(sender), Some(schema), Some(topic)) = (words.next(), words.next(), words.next()) else {
            return;
        };
        if notification.channel() == CHANNEL && sender != self.sender && schema == self.schema {
            metrics::counter!("mainstay_repo_rings_heard_total").increment(1);
            self.listeners.wake(topic, None);
        }
    }
}

/// Any number from 0 to 1: only to spread things out.
fn share() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without random numbers the pauses are shorter, and nothing else.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
