//! How a [`Repo`](crate::Repo) is opened.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::middleware::Middleware;
use crate::repo::Repo;
use crate::transaction::TransactionLimits;
use crate::url::DatabaseUrl;

/// The limits that both drivers keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long an operation may take when its caller does not say.
    pub deadline: Duration,
    /// How long an interactive transaction may hold the database.
    pub transaction: TransactionLimits,
    /// How many writes may wait in the queue; further callers wait for a place, and are not refused.
    pub queue: usize,
    /// The most writes in one commit.
    pub group_operations: usize,
    /// The most octets of parameters in one commit.
    pub group_bytes: usize,
    /// How long a commit may collect writes.
    pub group_time: Duration,
}

impl Limits {
    /// What is used unless said otherwise.
    pub const DEFAULT: Self = Self {
        deadline: Duration::from_secs(30),
        transaction: TransactionLimits::DEFAULT,
        queue: 4_096,
        group_operations: 256,
        group_bytes: 16 * 1024 * 1024,
        group_time: Duration::from_millis(5),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How to open a database: the URL, the limits and the middleware, in the order in which they see an operation.
///
/// ```no_run
/// # async fn example() -> mainstay_repo::Result<()> {
/// use mainstay_repo::RepoOptions;
/// use mainstay_repo::middleware::{Observe, Retry};
///
/// let repo = RepoOptions::new("sqlite:///var/lib/app/app.db")?.with(Observe).with(Retry::default()).connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RepoOptions {
    url: DatabaseUrl,
    limits: Limits,
    middleware: Vec<Arc<dyn Middleware>>,
}

impl std::fmt::Debug for RepoOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepoOptions")
            .field("url", &self.url)
            .field("limits", &self.limits)
            .field("middleware", &self.middleware.len())
            .finish()
    }
}

impl RepoOptions {
    /// Options for a database URL.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the URL is malformed or of an unknown scheme.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { url: DatabaseUrl::parse(url)?, limits: Limits::DEFAULT, middleware: Vec::new() })
    }

    /// Adds a middleware behind those added before.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens the database.
    ///
    /// # Errors
    /// As [`Repo::connect`].
    pub async fn connect(self) -> Result<Repo> {
        Repo::open(self).await
    }

    /// Where the database is.
    #[must_use]
    pub const fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn into_middleware(self) -> Vec<Arc<dyn Middleware>> {
        self.middleware
    }
}
