//! One node for each plain SQLite database.
//!
//! Two nodes of one cluster, each with a SQLite file of its own, both answer users and neither sees what the other wrote. No lock
//! shows it: the files lie on two machines. So a node asks the others, which `peers` and `standbys` name: those that are to run beside
//! it, and those that are to run only when it does not.
//!
//! | when | a node answers as | what follows |
//! |---|---|---|
//! | start, before anything is written | another node, also one that is about to start | the start is refused |
//! | start | something that is no node, or takes the connection and says nothing | the start is refused: nobody could tell what is behind it |
//! | start | nobody, and it is one of `peers` | the start is refused: it is configured to run as well |
//! | start | nobody, and it is one of `standbys` | nothing: that is what standing by looks like |
//! | running | another node that serves | writes are refused from that moment, then the server goes down |
//! | running | another node that is about to start | nothing: that one sees us, or it serves soon |
//! | running | something that is no node | a warning |
//! | a command writes, and no server runs on its file | another node, or something that is no node | the write is refused |
//! | ever | this process itself | nothing |
//!
//! A node that names no other is seen all the same by those that name it: every server tells who it is at [`PATH`]. It tells a random
//! id of this run, which holds the time of the start, and nothing of its database, its version or its place. That somebody asks proves
//! nothing about who asks, so nothing follows from being asked.
//!
//! Where the database itself lets many nodes write, nobody asks.

use std::fmt;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures_util::future::{join_all, select_all};
use mainstay_core::SystemClock;
use mainstay_repo::middleware::{Middleware, Next, ReadOnlyMode, async_trait};
use mainstay_repo::{
    Capability, Error as RepoError, ErrorKind as RepoErrorKind, Operation, Outcome, Repo, Role, Topology,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::app::App;
use crate::config::{Config, PublicUrl};
use crate::fetch::{FetchError, FetchPolicy, ask};
use crate::http::listen;
use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::start::StartError;

/// Where every server tells who it is.
pub(crate) const PATH: &str = "/nodez";
/// What an answer says it is.
const FORMAT: &str = "mainstay.node/1";
/// Peers are machines of the operator's own network.
const POLICY: FetchPolicy = FetchPolicy {
    allow_http: true,
    allow_private: true,
    max_bytes: limits::PEER_BYTES,
    timeout: limits::PEER_TIMEOUT,
};
/// What both ends of a node's life say of a second one.
pub(crate) const WAYS_OUT: &str = "the nodes would not see each other's writes, since SQLite is a file of one machine; there are two ways out: \
                        give all nodes one PostgreSQL database (--database postgres://…), or keep the file on LiteFS and run \
                        the server on its primary alone";

mainstay_core::typed_id! {
    /// Names one run of a server to its peers.
    pub(crate) struct RunId("run");
}

/// Who this process is, to its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node(String);

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    format: String,
    node: String,
    state: Stage,
}

/// How far a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// It looks for others and has written nothing.
    Starting,
    /// It may have written, and may go on to.
    Serving,
}

/// What a look at a peer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// Nobody answers.
    Nobody,
    /// The URL leads back here.
    Myself,
    /// Another node.
    Other(Stage),
    /// Something answers, and not as a node does.
    Stranger(String),
}

/// Another node of the cluster was found where there may be but one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFound {
    url: PublicUrl,
}

impl PeerFound {
    /// The URL at which it answers.
    #[must_use]
    pub const fn url(&self) -> &PublicUrl {
        &self.url
    }
}

impl fmt::Display for PeerFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "another node of the cluster answers at {}: {WAYS_OUT}", self.url)
    }
}

impl std::error::Error for PeerFound {}

impl Node {
    pub(crate) fn new() -> Self {
        Self(RunId::generate(&SystemClock).to_string())
    }

    fn tell(&self, state: Stage) -> Response {
        Json(Told { format: FORMAT.to_owned(), node: self.0.clone(), state }).into_response()
    }

    /// What an answer means.
    fn judge(&self, answer: Result<Vec<u8>, FetchError>) -> Seen {
        let text = match answer {
            Ok(text) => text,
            Err(FetchError::Resolve(_) | FetchError::Connect(_) | FetchError::Timeout(_)) => {
                return Seen::Nobody;
            }
            Err(error) => return Seen::Stranger(error.to_string()),
        };
        match serde_json::from_slice::<Told>(&text) {
            Ok(told) if told.format != FORMAT => Seen::Stranger(format!("it is no {FORMAT}")),
            Ok(told) if told.node == self.0 => Seen::Myself,
            Ok(told) => Seen::Other(told.state),
            Err(error) => Seen::Stranger(format!("the answer cannot be read: {error}")),
        }
    }

    async fn look(&self, peer: &PublicUrl) -> Seen {
        self.judge(ask(&peer.join(PATH), &POLICY).await)
    }
}

/// What a peer asks a server that serves.
pub(crate) async fn nodez(State(app): State<App>) -> Response {
    app.node().tell(Stage::Serving)
}

/// The nodes that are asked: none where the database lets many nodes write, or is replicated and knows its primary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// Those that are configured to run beside this one.
    peers: Vec<PublicUrl>,
    /// Those that are to run when this one does not.
    standbys: Vec<PublicUrl>,
}

impl Others {
    pub(crate) fn asked(topology: &impl Topology, config: &Config) -> Self {
        let is_alone = topology.role() == Role::Standalone && !topology.has(Capability::ManyWriters);
        if !is_alone {
            return Self::default();
        }
        Self { peers: config.peers.clone(), standbys: config.standbys.clone() }
    }

    /// The first that is there, whether it should be or not, for a command. Beside a server on the same file nobody is asked: it asks.
    async fn first(&self, node: &Node, lock: Option<&Path>) -> Option<StartError> {
        if self.each().next().is_none() || lock.is_some_and(crate::claim::is_served) {
            return None;
        }
        let seen = join_all(self.each().map(|(url, _)| node.look(url))).await;
        self.each().zip(seen).find_map(|((url, _), seen)| may_start(url, false, seen).err())
    }

    /// All of them, each with whether it is configured to run beside this one.
    fn each(&self) -> impl Iterator<Item = (&PublicUrl, bool)> {
        let peers = self.peers.iter().map(|url| (url, true));
        peers.chain(self.standbys.iter().map(|url| (url, false)))
    }
}

/// Tells on the listener that this node is about to start, until it is ended.
#[derive(Debug)]
#[must_use = "it ends when it is dropped, and then nobody answers before the server does"]
pub(crate) struct Starting(Option<(oneshot::Sender<()>, JoinHandle<bool>)>);

impl Starting {
    fn tell(node: &Node, listener: &TcpListener, tls: Option<TlsAcceptor>) -> Result<Self, StartError> {
        let failed =
            |error| StartError::Listen(listener.local_addr().unwrap_or(([0, 0, 0, 0], 0).into()), error);
        let twin = listener.as_fd().try_clone_to_owned().map_err(failed)?;
        let twin = TcpListener::from_std(twin.into()).map_err(failed)?;
        let (done, is_done) = oneshot::channel::<()>();
        let router = before_serving(node.clone());
        let is_done = async { drop(is_done.await) };
        let task = tokio::spawn(listen::serve(twin, tls, router, is_done, limits::PEER_TIMEOUT));
        Ok(Self(Some((done, task))))
    }

    /// Ends; whoever asked before is answered.
    pub(crate) async fn end(self) {
        if let Some((done, task)) = self.0 {
            drop(done);
            drop(task.await);
        }
    }
}

/// Refuses the start beside another node. From here on until it serves it is told on the listener that this one is about to start:
/// the URL of a peer may lead back here, and whoever starts meanwhile is to see this one, however long its start takes.
pub(crate) async fn check(
    node: &Node,
    others: &Others,
    listener: &TcpListener,
    tls: Option<TlsAcceptor>,
) -> Result<Starting, StartError> {
    if others.each().next().is_none() {
        return Ok(Starting(None));
    }
    let starting = Starting::tell(node, listener, tls)?;
    let seen = join_all(others.each().map(|(url, _)| node.look(url))).await;
    let mut looks = others.each().zip(seen);
    match looks.try_for_each(|((url, runs_beside), seen)| may_start(url, runs_beside, seen)) {
        Ok(()) => Ok(starting),
        Err(error) => {
            starting.end().await;
            Err(error)
        }
    }
}

fn may_start(url: &PublicUrl, runs_beside: bool, seen: Seen) -> Result<(), StartError> {
    match seen {
        Seen::Myself => Ok(()),
        Seen::Nobody if runs_beside => Err(StartError::PeerConfigured(url.clone())),
        Seen::Nobody => {
            tracing::info!(standby = %url, "the node that stands by does not run; when it serves, this server goes down");
            Ok(())
        }
        Seen::Other(_) => Err(StartError::Peer(PeerFound { url: url.clone() })),
        Seen::Stranger(why) => Err(StartError::Stranger(url.clone(), why)),
    }
}

/// Asks the other nodes before a command writes, and again when some time has passed, where there may be but one that does.
#[derive(Debug, Clone)]
pub(crate) struct AskFirst(Arc<Asking>);

#[derive(Debug)]
struct Asking {
    node: Node,
    others: OnceLock<(Others, Option<PathBuf>)>,
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl AskFirst {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Asking { node: Node::new(), others: OnceLock::new(), last: Mutex::default() }))
    }

    /// From here on, writes ask: whom, the open database decides.
    pub(crate) fn begin(&self, topology: &impl Topology, config: &Config) {
        drop(self.0.others.set((Others::asked(topology, config), crate::claim::lock_place(config))));
    }

    /// Why nothing may be written, if nothing may.
    async fn refusal(&self, others: &Others, lock: Option<&Path>) -> Option<String> {
        let mut last = self.0.last.lock().await;
        if let Some((at, refusal)) = &*last
            && at.elapsed() < limits::COMMAND_ASKS_EVERY
        {
            return refusal.clone();
        }
        let refusal = others.first(&self.0.node, lock).await.map(|error| error.to_string());
        *last = Some((Instant::now(), refusal.clone()));
        refusal
    }
}

/// Refuses a command that takes tables or makes them, which no middleware sees, beside another node that runs.
///
/// # Errors
/// [`StartError::Peer`]; [`StartError::Stranger`] when nobody can tell.
pub async fn only_here(config: &Config, repo: &Repo) -> Result<(), StartError> {
    let lock = crate::claim::lock_place(config);
    Others::asked(repo, config).first(&Node::new(), lock.as_deref()).await.map_or(Ok(()), Err)
}

#[async_trait]
impl Middleware for AskFirst {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        if operation.action().writes()
            && let Some((others, lock)) = self.0.others.get()
            && others.each().next().is_some()
            && let Some(why) = self.refusal(others, lock.as_deref()).await
        {
            let help = "end that node first, or run the command beside it, on its database";
            return Err(RepoError::new(RepoErrorKind::ReadOnly, why).with_help(help));
        }
        next.run(operation).await
    }
}

/// What is answered before the start is decided, and until the server serves.
fn before_serving(node: Node) -> Router {
    Router::new()
        .route(PATH, get(move || async move { node.tell(Stage::Starting) }))
        .fallback(|| async { Problem::new(ProblemKind::Unavailable, "The server is starting.") })
}

/// Asks the peers for as long as it lives.
#[derive(Debug)]
pub(crate) struct LookOut {
    found: watch::Receiver<Option<PeerFound>>,
    task: JoinHandle<()>,
}

impl LookOut {
    /// At the first other node that serves, writes are switched off, and then it is told.
    pub(crate) fn begin(node: Node, others: Others, writes_off: ReadOnlyMode) -> Self {
        let (tell, found) = watch::channel(None);
        let task = tokio::spawn(async move {
            let Others { peers, standbys } = others;
            if !(peers.is_empty() && standbys.is_empty()) {
                let looks =
                    peers.into_iter().chain(standbys).map(|peer| Box::pin(until_it_joins(&node, peer)));
                let (url, ..) = select_all(looks).await;
                writes_off.set(true);
                tracing::error!(peer = %url, "another node serves: writes are refused from now on, and this server goes down");
                tell.send_replace(Some(PeerFound { url }));
            }
            // Whoever waits for a peer would take the sender's end for one.
            std::future::pending::<()>().await;
        });
        Self { found, task }
    }

    /// Ends when a peer has joined.
    pub(crate) fn joined(&self) -> impl Future<Output = ()> + use<> {
        let mut found = self.found.clone();
        async move { drop(found.wait_for(Option::is_some).await) }
    }

    /// The peer that has joined.
    pub(crate) fn found(&self) -> Option<PeerFound> {
        self.found.borrow().clone()
    }
}

impl Drop for LookOut {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn until_it_joins(node: &Node, peer: PublicUrl) -> PublicUrl {
    let mut last = Seen::Nobody;
    loop {
        let seen = node.look(&peer).await;
        match &seen {
            Seen::Other(Stage::Serving) => return peer,
            Seen::Stranger(why) if seen != last => {
                tracing::warn!(%peer, why, "something answers at the URL of a peer, and not as a node does; name the node itself");
            }
            _ => {}
        }
        last = seen;
        tokio::time::sleep(limits::PEER_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Sources};
    use http::StatusCode;
    use mainstay_testkit::TestDatabase;

    fn answer(format: &str, node: &str, state: &str) -> Result<Vec<u8>, FetchError> {
        Ok(serde_json::json!({ "format": format, "node": node, "state": state }).to_string().into_bytes())
    }

    #[test]
    fn an_answer_means_what_it_says() {
        let node = Node::new();
        assert_ne!(node, Node::new(), "two runs are two nodes");
        let seen = |answer| node.judge(answer);
        assert_eq!(seen(answer(FORMAT, &node.0, "serving")), Seen::Myself);
        assert_eq!(seen(answer(FORMAT, "run_other", "serving")), Seen::Other(Stage::Serving));
        assert_eq!(seen(answer(FORMAT, "run_other", "starting")), Seen::Other(Stage::Starting));
        assert!(matches!(seen(Err(FetchError::Silent(limits::PEER_TIMEOUT))), Seen::Stranger(_)));
        for nobody in [
            FetchError::Connect("refused".to_owned()),
            FetchError::Resolve("peer".to_owned()),
            FetchError::Timeout(limits::PEER_TIMEOUT),
        ] {
            assert_eq!(seen(Err(nobody)), Seen::Nobody);
        }
        for stranger in [
            answer("mainstay.node/2", "run_other", "serving"),
            answer(FORMAT, "run_other", "sleeping"),
            Ok(b"ok\n".to_vec()),
            Ok(Vec::new()),
            Err(FetchError::Status(StatusCode::NOT_FOUND)),
            Err(FetchError::Tls("not trusted".to_owned())),
            Err(FetchError::Http("not HTTP".to_owned())),
            Err(FetchError::TooLarge(limits::PEER_BYTES)),
        ] {
            let shown = format!("{stranger:?}");
            assert!(matches!(seen(stranger), Seen::Stranger(_)), "{shown}");
        }
    }

    #[test]
    fn only_another_node_and_what_hides_one_keep_a_server_from_starting() {
        let peer = PublicUrl::parse("http://b.example:7800").unwrap();
        for runs_beside in [true, false] {
            assert!(may_start(&peer, runs_beside, Seen::Myself).is_ok());
        }
        assert!(may_start(&peer, false, Seen::Nobody).is_ok());
        let refusals = [
            may_start(&peer, true, Seen::Nobody),
            may_start(&peer, true, Seen::Other(Stage::Starting)),
            may_start(&peer, false, Seen::Other(Stage::Starting)),
            may_start(&peer, false, Seen::Other(Stage::Serving)),
        ];
        for refused in refusals {
            let refused = refused.unwrap_err().to_string();
            for said in ["http://b.example:7800", "PostgreSQL", "LiteFS"] {
                assert!(refused.contains(said), "{refused}");
            }
        }
        let hidden = may_start(&peer, false, Seen::Stranger("404".to_owned())).unwrap_err().to_string();
        assert!(hidden.contains("http://b.example:7800") && hidden.contains("404"), "{hidden}");
    }

    #[tokio::test]
    async fn only_a_node_that_is_alone_asks() {
        let directory = tempfile::tempdir().unwrap();
        let file = format!("sqlite://{}", directory.path().join("a.db").display());
        let flags =
            vec![("peers", "http://a:1".to_owned()), ("standbys", "http://b:2,http://c:3".to_owned())];
        let config = Loaded::from_sources(&Sources { flags, ..Sources::default() }).into_config().unwrap();
        let sqlite = Repo::connect(&file).await.unwrap();
        let asked: Vec<(String, bool)> =
            Others::asked(&sqlite, &config).each().map(|(url, beside)| (url.to_string(), beside)).collect();
        let expected = [("http://a:1", true), ("http://b:2", false), ("http://c:3", false)];
        assert_eq!(asked, expected.map(|(url, beside)| (url.to_owned(), beside)));
        assert_eq!(Others::asked(&TestDatabase::postgres().repo().await, &config), Others::default());
    }

    /// Answers each request with so many octets, the node's answer first and white space behind it.
    async fn answering(octets: usize) -> PublicUrl {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told =
            serde_json::json!({ "format": FORMAT, "node": "run_other", "state": "serving" }).to_string();
        let body = format!("{told:<octets$}");
        assert_eq!(body.len(), octets);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {octets}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
        });
        PublicUrl::parse(&url).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit_and_a_longer_one_is_no_nodes() {
        let node = Node::new();
        let within = answering(limits::PEER_BYTES).await;
        assert_eq!(node.look(&within).await, Seen::Other(Stage::Serving));
        let beyond = answering(limits::PEER_BYTES + 1).await;
        let seen = node.look(&beyond).await;
        assert!(matches!(&seen, Seen::Stranger(why) if why.contains("1024")), "{seen:?}");
    }
}
