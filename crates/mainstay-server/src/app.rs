//! What every handler shares.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_repo::Repo;
use mainstay_sso::{Actor, Scope, Sso};

use crate::auth::cookie::Cookies;
use crate::config::{Config, ImageSettings, PublicUrl};
use crate::dev::Dev;
use crate::http::rate::RateLimit;
use crate::http::tls::ServedCertificate;
use crate::images::{ImageStore, Reports, Transfers, Work};
use crate::limits;
use crate::ready::DatabaseFiles;
use crate::single_node::Node;

/// The running server's parts; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    repo: Repo,
    sso: Sso,
    images: ImageStore,
    image_work: Work,
    image_reports: Reports,
    transfers: Transfers,
    image_settings: ImageSettings,
    public_url: PublicUrl,
    cookies: Cookies,
    rates: Rates,
    trusted_proxies: Vec<IpAddr>,
    request_timeout: Duration,
    session_lifetime: Duration,
    is_draining: AtomicBool,
    dev: Option<Dev>,
    scope: Scope,
    database_files: DatabaseFiles,
    certificate: Option<Arc<ServedCertificate>>,
    node: Node,
}

/// What a start makes of a configuration.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) public_url: PublicUrl,
    pub(crate) repo: Repo,
    pub(crate) sso: Sso,
    pub(crate) images: ImageStore,
    pub(crate) transfers: Transfers,
    pub(crate) dev: Option<Dev>,
    pub(crate) actor: Actor,
    pub(crate) database_files: DatabaseFiles,
    pub(crate) certificate: Option<Arc<ServedCertificate>>,
    pub(crate) node: Node,
}

/// The rate limits of what is public and costly.
#[derive(Debug)]
pub(crate) struct Rates {
    pub(crate) acs: RateLimit,
    pub(crate) login: RateLimit,
    pub(crate) setup: RateLimit,
}

impl App {
    pub(crate) fn new(config: &Config, parts: Parts) -> Self {
        let Parts { public_url, repo, sso, images, transfers, dev, actor, database_files, certificate, node } =
            parts;
        let rates = Rates {
            acs: RateLimit::new(limits::ACS_BURST, limits::ACS_EVERY),
            login: RateLimit::new(limits::LOGIN_BURST, limits::LOGIN_EVERY),
            setup: RateLimit::new(limits::SETUP_BURST, limits::SETUP_EVERY),
        };
        Self(Arc::new(Inner {
            repo,
            sso,
            images,
            image_work: Work::default(),
            image_reports: Reports::default(),
            transfers,
            image_settings: config.images.clone(),
            cookies: Cookies::new(public_url.is_secure()),
            public_url,
            rates,
            trusted_proxies: config.trusted_proxies.clone(),
            request_timeout: config.request_timeout,
            session_lifetime: config.session_lifetime,
            is_draining: AtomicBool::new(false),
            dev,
            scope: Scope::system(actor),
            database_files,
            certificate,
            node,
        }))
    }

    pub(crate) fn repo(&self) -> &Repo {
        &self.0.repo
    }

    pub(crate) fn sso(&self) -> &Sso {
        &self.0.sso
    }

    pub(crate) fn images(&self) -> &ImageStore {
        &self.0.images
    }

    /// What this server does with images in the background, because somebody asked.
    pub(crate) fn image_work(&self) -> &Work {
        &self.0.image_work
    }

    /// Reports of the whole store of images.
    pub(crate) fn image_reports(&self) -> &Reports {
        &self.0.image_reports
    }

    /// Archives of images on their way in and out.
    pub(crate) fn transfers(&self) -> &Transfers {
        &self.0.transfers
    }

    pub(crate) fn image_settings(&self) -> &ImageSettings {
        &self.0.image_settings
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

    pub(crate) fn database_files(&self) -> &DatabaseFiles {
        &self.0.database_files
    }

    /// The certificate of our own TLS; none behind a reverse proxy.
    pub(crate) fn certificate(&self) -> Option<&Arc<ServedCertificate>> {
        self.0.certificate.as_ref()
    }

    /// Who this process is, to its peers.
    pub(crate) fn node(&self) -> &Node {
        &self.0.node
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
