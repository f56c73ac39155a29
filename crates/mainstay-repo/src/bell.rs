//! Bells: a word to others who use the same database that there may be something for them to look at.
//!
//! Within a process a word goes from hand to hand; on PostgreSQL it goes to other processes too, by `NOTIFY`. It carries nothing but its topic,
//! and it may get lost: whoever listens asks the database from time to time all the same, only sooner when he hears the bell.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::error::{Error, Result};
use crate::repo::Repo;

/// The longest topic, in octets: what a `NOTIFY` carries is short.
pub const MAX_TOPIC_BYTES: usize = 64;

/// A bell: whoever rings it wakes those who listen to its topic, except himself.
///
/// Ringing never waits and never fails. Within a process it is heard at once. On PostgreSQL it is heard by other processes too: rings are
/// gathered, and sent at most once in ten milliseconds, outside of every transaction. It is not an operation, so it passes no middleware.
///
/// [`Repo::close`] sends the last ones before a process ends; dropping the last handle does not.
///
/// A ring may get lost, with a connection or in a process that is killed: it makes waiting shorter and nothing else, and who listens has to ask
/// the database from time to time all the same. Ring after the commit of what is to be seen.
///
/// ```no_run
/// # async fn example(repo: mainstay_repo::Repo) -> mainstay_repo::Result<()> {
/// let mine = repo.bell("orders")?;
/// let mut rings = mine.listen();
/// tokio::spawn(async move {
///     loop {
///         // Again after a minute, should a ring have been lost.
///         let _ = tokio::time::timeout(std::time::Duration::from_secs(60), rings.heard()).await;
///         // look for orders
///     }
/// });
/// repo.bell("orders")?.ring(); // heard above; `mine.ring()` would be heard by everybody else
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bell {
    repo: Repo,
    topic: Arc<str>,
    number: u64,
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Bell {
    pub(crate) fn new(repo: &Repo, topic: &str) -> Result<Self> {
        check_topic(topic)?;
        Ok(Self { number: repo.listeners().number(), repo: repo.clone(), topic: topic.into() })
    }

    /// Another bell of the same topic: each hears the other.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { number: self.repo.listeners().number(), ..self.clone() }
    }

    /// Tells everybody else who listens to the topic to look.
    pub fn ring(&self) {
        self.repo.listeners().wake(&self.topic, Some(self.number));
        self.repo.engine().ring(&self.topic);
    }

    /// Listens from now on. The first who listens opens the one connection of this handle to the database that does so, on PostgreSQL; it is
    /// closed with the database. Behind a pooler in transaction mode, which takes no listeners, only this process is heard.
    #[must_use]
    pub fn listen(&self) -> Rings {
        let rung = self.repo.listeners().enter(&self.topic, self.number);
        self.repo.engine().listen();
        Rings { rung, has_rung: false, next: Instant::now() }
    }
}

/// What is heard of a bell.
#[derive(Debug)]
pub struct Rings {
    rung: Arc<Notify>,
    has_rung: bool,
    next: Instant,
}

impl Rings {
    /// At most so often is anything heard: a flood of rings costs fifty looks a second.
    pub const HEARD_EVERY: Duration = Duration::from_millis(20);

    /// Waits until the bell has rung since this returned last. All rings since then count as one, and so does whatever may have been missed while
    /// nobody could listen. Dropping the future loses no ring.
    pub async fn heard(&mut self) {
        if !self.has_rung {
            self.rung.notified().await;
            self.has_rung = true;
        }
        // A sleep takes a millisecond even when it is over.
        if Instant::now() < self.next {
            sleep_until(self.next).await;
        }
        // Those that rang meanwhile are answered by the look that follows.
        let _ = self.rung.notified().now_or_never();
        self.has_rung = false;
        self.next = Instant::now() + Self::HEARD_EVERY;
    }
}

/// Who listens in this process.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    topics: Mutex<HashMap<Arc<str>, Vec<Listener>>>,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Listener {
    bell: u64,
    rung: Weak<Notify>,
}

impl Listeners {
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn enter(&self, topic: &Arc<str>, bell: u64) -> Arc<Notify> {
        let rung = Arc::new(Notify::new());
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.retain(|_, listeners| {
            listeners.retain(|listener| listener.rung.strong_count() > 0);
            !listeners.is_empty()
        });
        let listener = Listener { bell, rung: Arc::downgrade(&rung) };
        topics.entry(Arc::clone(topic)).or_default().push(listener);
        rung
    }

    /// A bell rang; who rang it here does not hear it.
    pub(crate) fn wake(&self, topic: &str, but: Option<u64>) {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = topics.get(topic).into_iter().flatten();
        for listener in listeners.filter(|listener| but != Some(listener.bell)) {
            if let Some(rung) = listener.rung.upgrade() {
                rung.notify_one();
            }
        }
    }

    /// Any bell may have rung.
    #[cfg(feature = "postgres")]
    pub(crate) fn wake_all(&self) {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        for rung in topics.values().flatten().filter_map(|listener| listener.rung.upgrade()) {
            rung.notify_one();
        }
    }
}

/// A topic needs no quotes anywhere.
fn check_topic(topic: &str) -> Result<()> {
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-./".contains(letter);
    if !topic.is_empty() && topic.len() <= MAX_TOPIC_BYTES && topic.chars().all(plain) {
        return Ok(());
    }
    Err(Error::invalid_input(format!("{topic:?} is not the topic of a bell"))
        .with_help("use lower-case letters, digits and _ - . /, from 1 to 64 of them"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::ErrorKind;

    async fn repo(directory: &tempfile::TempDir) -> Repo {
        Repo::connect(&format!("sqlite://{}/bell.db", directory.path().display())).await.unwrap()
    }

    fn rang(rings: &mut Rings) -> bool {
        rings.heard().now_or_never().is_some()
    }

    #[test]
    fn a_topic_is_plain_and_short() {
        for good in ["a", "workflow/17", "a-b_c.d", &"x".repeat(MAX_TOPIC_BYTES)] {
            check_topic(good).unwrap();
        }
        for bad in ["", "A", "a b", "a'b", "ä", &"x".repeat(MAX_TOPIC_BYTES + 1)] {
            assert_eq!(check_topic(bad).unwrap_err().kind(), &ErrorKind::InvalidInput, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn others_hear_a_ring_and_the_ringer_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory).await;
        let (mine, other) = (repo.bell("a").unwrap(), repo.bell("a").unwrap());
        let (mut here, mut there) = (mine.listen(), other.listen());
        let mut elsewhere = repo.bell("b").unwrap().listen();
        mine.ring();
        assert_eq!((rang(&mut here), rang(&mut there), rang(&mut elsewhere)), (false, true, false));
        assert!(!rang(&mut there), "one ring is heard once");
        repo.bell("b").unwrap().ring();
        assert!(rang(&mut elsewhere));
    }

    /// A flood costs so many looks a second, and its last ring is heard.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rings_that_come_soon_after_another_are_one() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory).await;
        let bell = repo.bell("a").unwrap();
        let mut rings = repo.bell("a").unwrap().listen();
        let began = Instant::now();
        let flood = std::thread::spawn(move || {
            while began.elapsed() < Duration::from_millis(300) {
                bell.ring();
            }
        });
        let mut looks = 0;
        while tokio::time::timeout(Duration::from_millis(500), rings.heard()).await.is_ok() {
            looks += 1;
        }
        // The last wait heard nothing, so nothing was heard in that half second.
        let span = began.elapsed() - Duration::from_millis(500);
        flood.join().unwrap();
        let most = 2 + span.as_millis() / Rings::HEARD_EVERY.as_millis();
        assert!((2..=most).contains(&looks), "{looks} looks in {span:?}, at most {most}");
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_loses_no_ring() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory).await;
        let mut rings = repo.bell("a").unwrap().listen();
        repo.bell("a").unwrap().ring();
        rings.heard().await;
        repo.bell("a").unwrap().ring();
        // It has taken the ring, and waits for its time.
        assert!(!rang(&mut rings));
        tokio::time::timeout(Duration::from_secs(60), rings.heard()).await.unwrap();
    }

    #[tokio::test]
    async fn who_does_not_listen_any_more_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory).await;
        let bell = repo.bell("a").unwrap();
        for _ in 0..100 {
            drop(bell.listen());
        }
        let _one = repo.bell("b").unwrap().listen();
        assert_eq!(repo.listeners().topics.lock().unwrap().len(), 1);
    }
}
