//! What every handler shares.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_repo::Repo;
use mainstay_sso::{Actor, Scope, Sso};

use crate::auth::cookie::Cookies;
use crate::config::{Config, PublicUrl};
use crate::dev::Dev;
use crate::http::rate::RateLimit;
use crate::limits;

/// The running server's parts; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    repo: Repo,
    sso: Sso,
    public_url: PublicUrl,
    cookies: Cookies,
    rates: Rates,
    trusted_proxies: Vec<IpAddr>,
    request_timeout: Duration,
    session_lifetime: Duration,
    is_draining: AtomicBool,
    dev: Option<Dev>,
    scope: Scope,
}

/// The rate limits of what is public and costly.
#[derive(Debug)]
pub(crate) struct Rates {
    pub(crate) acs: RateLimit,
    pub(crate) login: RateLimit,
    pub(crate) setup: RateLimit,
}

impl App {
    pub(crate) fn new(
        config: &Config,
        public_url: PublicUrl,
        repo: Repo,
        sso: Sso,
        dev: Option<Dev>,
        actor: Actor,
    ) -> Self {
        let rates = Rates {
            acs: RateLimit::new(limits::ACS_BURST, limits::ACS_EVERY),
            login: RateLimit::new(limits::LOGIN_BURST, limits::LOGIN_EVERY),
            setup: RateLimit::new(limits::SETUP_BURST, limits::SETUP_EVERY),
        };
        Self(Arc::new(Inner {
            repo,
            sso,
            cookies: Cookies::new(public_url.is_secure()),
            public_url,
            rates,
            trusted_proxies: config.trusted_proxies.clone(),
            request_timeout: config.request_timeout,
            session_lifetime: config.session_lifetime,
            is_draining: AtomicBool::new(false),
            dev,
            scope: Scope::system(actor),
        }))
    }

    pub(crate) fn repo(&self) -> &Repo {
        &self.0.repo
    }

    pub(crate) fn sso(&self) -> &Sso {
        &self.0.sso
    }

    pub(crate) fn public_url(&self) -> &PublicUrl {
        &self.0.public_url
    }

    pub(crate) fn cookies(&self) -> Cookies {
        self.0.cookies
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    pub(crate) fn trusted_proxies(&self) -> &[IpAddr] {
        &self.0.trusted_proxies
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    /// How long a browser keeps a session's cookie; the database decides when the session ends.
    pub(crate) fn session_lifetime(&self) -> Duration {
        self.0.session_lifetime
    }

    pub(crate) fn dev(&self) -> Option<&Dev> {
        self.0.dev.as_ref()
    }

    pub(crate) fn is_dev(&self) -> bool {
        self.0.dev.is_some()
    }

    /// What the server itself may do: it reads connections for people who are not signed in yet.
    pub(crate) fn scope(&self) -> &Scope {
        &self.0.scope
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_draining(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("public_url", &self.0.public_url).finish_non_exhaustive()
    }
}
