//! From a configuration to a running server, and back down.

use std::fmt;
use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::PageSize;
use mainstay_repo::middleware::{Middleware, Observe, ReadOnlyMode, Retry};
use mainstay_repo::{Component, DatabaseUrl, Durability, Repo, RepoOptions, Target};
use mainstay_saml::idp::IdentityProvider;
use mainstay_sso::{Actor, Cause, ConnectionFilter, Lifetimes, Scope, Sso, SsoOptions, Status};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::app::{App, Parts};
use crate::claim::{self, Claim};
use crate::config::{Config, PublicUrl};
use crate::dev::{self, Dev, KeyFileError};
use crate::http::listen;
use crate::http::tls::{self, ServedCertificate, TlsFilesError};
use crate::images::{ImageStore, Transfers, collect_for_ever};
use crate::ready::DatabaseFiles;
use crate::single_node::{self, AskFirst, LookOut, Node, Others, PeerFound};
use crate::{limits, ops, router, store};

/// Every component that this program keeps in its database, in the order in which commands tell of them.
pub const COMPONENTS: &[Component] = &[
    mainstay_sso::COMPONENT,
    mainstay_workflow::store::COMPONENT,
    mainstay_images::COMPONENT,
    store::migrations::COMPONENT,
];

/// Only its owner enters.
pub(crate) const OWNER_ONLY: u32 = 0o700;
/// Only its owner reads and writes.
const OWNER_ONLY_FILE: u32 = 0o600;

/// Why the server does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be made.
    Data(PathBuf, std::io::Error),
    /// The port cannot be had.
    Listen(SocketAddr, std::io::Error),
    /// Another server runs on the SQLite file.
    Served(PathBuf),
    /// Another node of the cluster answers, and the database is a SQLite file.
    Peer(PeerFound),
    /// Another node is configured to run beside this one, and the database is a SQLite file.
    PeerConfigured(PublicUrl),
    /// Something answers at the URL of a peer, and why it is not taken for a node.
    Stranger(PublicUrl, String),
    /// The file that keeps a second server away cannot be used.
    Claim(PathBuf, std::io::Error),
    /// Servers run on the database, each with its URL and place.
    Nodes(Vec<String>),
    /// Commands run that take tables of the database away.
    Undoing(Vec<String>),
    /// A server without the development provider runs on the database.
    DevelopmentBeside(String),
    /// A server with the development provider has the same URL and another key.
    DevelopmentKey(String),
    /// The database cannot be opened or migrated.
    Repo(mainstay_repo::Error),
    /// Sign-in cannot be set up.
    Sso(mainstay_sso::Error),
    /// The tables of workflows cannot be brought up to date.
    Workflow(mainstay_workflow::Error),
    /// The image store cannot be opened.
    Images(mainstay_images::Error),
    /// The development provider's key cannot be used.
    Key(KeyFileError),
    /// The certificate or its key cannot be used.
    Tls(TlsFilesError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(path, error) => write!(
                f,
                "the data directory {} cannot be made: {error}; name another with --data, or make it for this user",
                path.display()
            ),
            Self::Listen(address, error) => {
                write!(f, "{address} cannot be listened on: {error}; {}", listen_mend(error.kind()))
            }
            Self::Served(file) => write!(
                f,
                "another server runs on {}; end it, or give this one its own --data or --database; several servers share \
                 PostgreSQL",
                file.display()
            ),
            Self::Peer(peer) => fmt::Display::fmt(peer, f),
            Self::PeerConfigured(url) => write!(
                f,
                "a second node of the cluster is configured: peers names {url}; {}; a node that only stands by and does not run \
                 at the same time belongs in standbys",
                single_node::WAYS_OUT
            ),
            Self::Stranger(url, why) => write!(
                f,
                "something answers at {url}, the URL of a peer, and not as a node of the cluster does: {why}; on SQLite no other \
                 node may run, and nobody can tell whether one is behind it; name each node's own address in peers and standbys, \
                 not that of a proxy"
            ),
            Self::Claim(file, error) => write!(
                f,
                "{} cannot be locked: {error}; let this user write the directory of the database",
                file.display()
            ),
            Self::Nodes(_) | Self::Undoing(_) | Self::DevelopmentBeside(_) | Self::DevelopmentKey(_) => {
                self.fmt_beside(f)
            }
            Self::Repo(error) => fmt::Display::fmt(error, f),
            Self::Sso(error) => fmt::Display::fmt(error, f),
            Self::Workflow(error) => fmt::Display::fmt(error, f),
            Self::Images(error) => write!(f, "the image store cannot be opened: {error}"),
            Self::Key(error) => fmt::Display::fmt(error, f),
            Self::Tls(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl StartError {
    /// Who else is on the database.
    fn fmt_beside(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forgotten = limits::NODE_TTL.as_secs();
        match self {
            Self::Nodes(servers) => write!(
                f,
                "{} server(s) run on the database: {}; end them first; one that was killed is forgotten after {forgotten} seconds",
                servers.len(),
                servers.join("; ")
            ),
            Self::Undoing(commands) => write!(
                f,
                "tables of the database are being taken away: {}; start again when that has ended; a command that was killed \
                 is forgotten after {forgotten} seconds",
                commands.join("; ")
            ),
            Self::DevelopmentBeside(server) => write!(
                f,
                "a server without --dev runs on the database, and anybody could sign in there as a test user: {server}; give \
                 --dev a --database of its own, or end that server; one that was killed is forgotten after {forgotten} seconds"
            ),
            Self::DevelopmentKey(server) => write!(
                f,
                "a server with --dev and another key has the same public URL: {server}; give each its own --public-url, or \
                 both the same dev-idp.json in --data"
            ),
            _ => Ok(()),
        }
    }
}

fn listen_mend(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => "end what holds it, or name another with --listen",
        ErrorKind::PermissionDenied => {
            "ports below 1024 are not for every user: name another with --listen, or let this user have them"
        }
        ErrorKind::AddrNotAvailable => "this machine does not have that address: name another with --listen",
        _ => "name another with --listen",
    }
}

impl std::error::Error for StartError {}

impl From<mainstay_repo::Error> for StartError {
    fn from(error: mainstay_repo::Error) -> Self {
        Self::Repo(error)
    }
}

impl From<mainstay_workflow::Error> for StartError {
    fn from(error: mainstay_workflow::Error) -> Self {
        Self::Workflow(error)
    }
}

impl From<mainstay_sso::Error> for StartError {
    fn from(error: mainstay_sso::Error) -> Self {
        Self::Sso(error)
    }
}

impl From<TlsFilesError> for StartError {
    fn from(error: TlsFilesError) -> Self {
        Self::Tls(error)
    }
}

impl From<KeyFileError> for StartError {
    fn from(error: KeyFileError) -> Self {
        Self::Key(error)
    }
}

/// What a started server tells whoever started it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Started {
    /// Where the console is.
    pub url: String,
    /// The address that is listened on.
    pub listen: SocketAddr,
    /// Which database, without secrets.
    pub database: String,
    /// Makes the first administrator, once; nothing when there is one.
    pub setup_link: Option<String>,
    /// Whether the development provider exists.
    pub dev: bool,
}

/// A server that is ready to serve.
pub struct Server {
    app: App,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    drain_timeout: Duration,
    started: Started,
    claim: Claim,
    look_out: LookOut,
}

/// How a server's run ended. The database is closed in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it may have ended by an error"]
#[non_exhaustive]
pub enum Ended {
    /// As asked; every request was finished.
    Drained,
    /// As asked; requests that did not end within the drain's time were cut off.
    CutOff,
    /// Not asked: another node of the cluster serves, and the database is a SQLite file. Every write that was asked for after it was
    /// seen was refused.
    PeerJoined(PeerFound),
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.started.url).finish_non_exhaustive()
    }
}

/// Makes the data directory, where the configuration needs it.
///
/// # Errors
/// [`StartError::Data`].
pub fn prepare_data(data: &Path) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(data);
    made.map_err(|error| StartError::Data(data.to_owned(), error))
}

/// Opens the configured database for a command, as the server does for itself. A SQLite file that is not there yet is made for its
/// owner alone. Where only one node may write, and no server runs on the file, the other nodes that the configuration names are asked
/// before the first write, which is refused beside one of them.
///
/// # Errors
/// As [`mainstay_repo::Repo::connect`].
pub async fn open(config: &Config) -> Result<Repo, mainstay_repo::Error> {
    let ask = AskFirst::new();
    let repo = open_with(config, ask.clone()).await?;
    ask.begin(&repo, config);
    Ok(repo)
}

/// The same, with what refuses writes.
async fn open_with(config: &Config, writes_off: impl Middleware) -> Result<Repo, mainstay_repo::Error> {
    let options = RepoOptions::new(config.database.expose())?;
    if let DatabaseUrl::Sqlite(sqlite) = options.url()
        && sqlite.create()
    {
        make_private(sqlite.path());
    }
    options
        .with(Observe)
        .with(Retry::default())
        // Behind what tries again, so that a later try is refused as well.
        .with(writes_off)
        .connect()
        .await
        .map(|repo| repo.within(config.request_timeout))
}

/// Says so when what is acknowledged may be gone after a loss of power. That the database cannot be asked is found elsewhere.
async fn warn_of_durability(repo: &Repo) {
    if matches!(repo.durability().await, Ok(Durability::Process)) {
        tracing::warn!(
            database = repo.describe(),
            "the last writes may be lost when the power fails: the database does not wait for its disk; mainstay doctor says what to set"
        );
    }
}

/// Makes an empty file, which is an empty database, that only its owner reads and writes, whatever the umask. SQLite gives the mode
/// of the database to its log and its index. A file that is there keeps the mode that somebody chose for it.
fn make_private(path: &Path) {
    let made = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY_FILE).open(path);
    // Where it cannot be made, opening it fails by the same cause and tells more.
    if let Ok(file) = made {
        let exactly = file.set_permissions(Permissions::from_mode(OWNER_ONLY_FILE));
        if let Err(error) = exactly {
            tracing::warn!(file = %path.display(), %error, "the database file has the mode of the file system");
        }
    }
}

/// Sign-in on an open database.
///
/// # Errors
/// As `Sso::new`.
pub fn sign_in(repo: Repo, config: &Config) -> mainstay_sso::Result<Sso> {
    let lifetimes = Lifetimes {
        session_absolute: config.session_lifetime,
        session_idle: config.session_idle,
        ..Lifetimes::DEFAULT
    };
    Sso::new(repo, SsoOptions { lifetimes, ..SsoOptions::default() })
}

impl Server {
    /// Opens the database, migrates it and binds the port. Nobody is served before [`Server::run`].
    ///
    /// # Errors
    /// [`StartError`]: nothing was left half done; a start that failed can be repeated.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        ops::install_recorder();
        // First what fails most often and costs nothing: a port that is taken.
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.map_err(|error| StartError::Listen(config.listen, error))?;
        let listen = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
        let certificate = config.tls.as_ref().map(ServedCertificate::read).transpose()?;
        let tls = certificate.as_ref().map(ServedCertificate::acceptor).transpose()?;
        let url = config.public_url.clone();
        let url = url.unwrap_or_else(|| PublicUrl::of_listener(listen, tls.is_some()));
        prepare_data(&config.data)?;
        let (writes_off, node) = (ReadOnlyMode::new(), Node::new());
        writes_off.set(true);
        let repo = open_with(config, writes_off.clone()).await?;
        warn_of_durability(&repo).await;
        // Before anything is written.
        let lock = claim::lock_soon(config).await?;
        let others = Others::asked(&repo, config);
        let starting = single_node::check(&node, &others, &listener, tls.clone()).await?;
        writes_off.set(false);
        let look_out = LookOut::begin(node.clone(), others, writes_off);
        let idp = config.dev.then(|| dev::provider(&url, &config.data)).transpose()?;
        // First its own tables, which tell who else is here, and whether somebody takes the others away.
        repo.migrator().migrate(&store::migrations::COMPONENT, Target::Latest).await?;
        let dev_key = idp.as_ref().map(|idp| idp.certificate.fingerprint().to_string());
        let claim = claim::claim_for_server(lock, &repo, &url, dev_key.as_deref()).await?;
        match Self::prepare(config, (url, listen, node), &repo, idp, certificate).await {
            Ok((app, started)) => {
                let drain_timeout = config.drain_timeout;
                // Who connects between this and the run waits in the listener's queue.
                starting.end().await;
                Ok(Self { app, listener, tls, drain_timeout, started, claim, look_out })
            }
            Err(error) => {
                claim.release().await;
                Err(look_out.found().map_or(error, StartError::Peer))
            }
        }
    }

    /// Everything between an open database that is ours to use and the first request.
    async fn prepare(
        config: &Config,
        (url, listen, node): (PublicUrl, SocketAddr, Node),
        repo: &Repo,
        idp: Option<IdentityProvider>,
        certificate: Option<Arc<ServedCertificate>>,
    ) -> Result<(App, Started), StartError> {
        // Applications work beside this server on the same tables, perhaps of an earlier version.
        let steps = repo.migrator().plan(&mainstay_workflow::COMPONENT, Target::Latest).await?;
        mainstay_workflow::store::refuse_beside_nodes(repo, &steps).await?;
        for component in COMPONENTS {
            repo.migrator().migrate(component, Target::Latest).await?;
        }
        let sso = sign_in(repo.clone(), config)?;
        let images = ImageStore::start(repo.clone(), config).await?;
        let actor = Actor::new("mainstay serve").map_err(mainstay_sso::Error::from)?;
        let scope = Scope::system(actor.clone());
        let dev = match idp {
            Some(idp) => {
                let nodes = claim::development_nodes(repo).await?;
                Some(Dev::start(&sso, &scope, &url, idp, &nodes).await?)
            }
            None => {
                dev::stop(&sso, &scope).await?;
                None
            }
        };
        warn_of_other_names(&sso, &scope, &url).await?;
        let setup_link = setup_link(&sso, &scope, &url).await?;
        let started = Started {
            url: url.to_string(),
            listen,
            database: repo.describe().to_owned(),
            setup_link,
            dev: config.dev,
        };
        let database_files = DatabaseFiles::of(config);
        let repo = repo.clone();
        let transfers = Transfers::new(&config.data);
        transfers.clean();
        let parts = Parts {
            public_url: url,
            repo,
            sso,
            images,
            transfers,
            dev,
            actor,
            database_files,
            certificate,
            node,
        };
        Ok((App::new(config, parts), started))
    }

    /// Where it is and how to begin.
    #[must_use]
    pub const fn started(&self) -> &Started {
        &self.started
    }

    /// Serves until `shutdown` ends, or until it must not go on; then lets running requests end and closes the database.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Ended {
        let Self { app, listener, tls, drain_timeout, claim, look_out, .. } = self;
        let repo = app.repo().clone();
        let pruner = tokio::spawn(prune_for_ever(app.clone()));
        let collector = match (app.images(), app.image_settings().collect_every) {
            (ImageStore::Open(images), Some(every)) => {
                Some(tokio::spawn(collect_for_ever(images.clone(), every)))
            }
            _ => None,
        };
        let watcher = app.certificate().map(|served| tokio::spawn(tls::watch(Arc::clone(served))));
        let (draining, work) = (app.clone(), app.clone());
        let joined = look_out.joined();
        let shutdown = async move {
            tokio::select! {
                () = shutdown => {}
                () = joined => {}
            }
            draining.begin_draining();
            tracing::info!("going down: running requests are finished");
        };
        let all_ended = listen::serve(listener, tls, router::router(app), shutdown, drain_timeout).await;
        pruner.abort();
        // What it did is done; the next collection goes on.
        collector.inspect(JoinHandle::abort);
        work.image_work().stop();
        watcher.inspect(JoinHandle::abort);
        claim.release().await;
        repo.close().await;
        // Also one that came while requests were finished.
        match look_out.found() {
            Some(peer) => Ended::PeerJoined(peer),
            None if all_ended => Ended::Drained,
            None => Ended::CutOff,
        }
    }
}

async fn setup_link(sso: &Sso, scope: &Scope, url: &PublicUrl) -> Result<Option<String>, StartError> {
    if !sso.administrator_list(scope).await?.is_empty() {
        return Ok(None);
    }
    let cause = Cause::new("the server was started and nobody administrates it yet")?;
    let token = sso.setup_token_issue(scope, &cause).await?;
    Ok(Some(url.join(&format!("/setup/{}", token.expose()))))
}

/// A connection keeps the names that it was made with; under another public URL its responses go elsewhere.
async fn warn_of_other_names(sso: &Sso, scope: &Scope, url: &PublicUrl) -> Result<(), StartError> {
    let filter = ConnectionFilter { status: Some(Status::Enabled), ..ConnectionFilter::default() };
    let enabled = sso.connection_list(scope, &filter, PageSize::clamped(PageSize::MAX), None).await?;
    let start = url.join("/");
    let mut others = enabled.items.iter().filter(|connection| !connection.acs_url.starts_with(&start));
    if let Some(first) = others.next() {
        tracing::warn!(
            first = %first.id,
            acs_url = first.acs_url,
            connections = 1 + others.count(),
            public_url = %url,
            "connections were made for another public URL; set --public-url to that, or add them again"
        );
    }
    Ok(())
}

async fn prune_for_ever(app: App) {
    loop {
        tokio::time::sleep(limits::PRUNE_EVERY).await;
        for _ in 0..limits::PRUNE_STEPS {
            match app.sso().prune().await {
                Ok(pruned) if pruned.more() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "expired rows were not removed; the next round tries again");
                    break;
                }
            }
        }
        ops::upkeep();
    }
}
