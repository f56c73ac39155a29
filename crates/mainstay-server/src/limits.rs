//! Every limit of the surface, by name.

use std::time::Duration;

/// The largest body of a form to the assertion consumer service: a base64 message of the verifier's limit, percent-encoded.
pub const ACS_BODY_BYTES: usize = 512 * 1024;
/// The largest body of any other request.
pub const BODY_BYTES: usize = 16 * 1024;
/// The largest body with the input of a run or the payload of a signal; `mainstay-workflow` says how large these may be.
pub const RUN_BODY_BYTES: usize = 2 * 1024 * 1024;
/// How many runs a page of the console lists.
pub const RUNS_LISTED: u32 = 50;
/// How many records of a run's history a page of the console shows.
pub const HISTORY_LISTED: u32 = 100;
/// How many responses one client may post at once.
pub const ACS_BURST: u32 = 60;
/// How often one client may post a response after that.
pub const ACS_EVERY: Duration = Duration::from_millis(200);
/// How many logins one client may start at once.
pub const LOGIN_BURST: u32 = 60;
/// How often one client may start a login after that.
pub const LOGIN_EVERY: Duration = Duration::from_millis(200);
/// How many setup links one client may try at once.
pub const SETUP_BURST: u32 = 10;
/// How often one client may try a setup link after that.
pub const SETUP_EVERY: Duration = Duration::from_secs(6);
/// How many clients a rate limit remembers; beyond it, those that have recovered are forgotten.
pub const RATE_CLIENTS: usize = 100_000;
/// How long a client may take to send a request's head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections are served at once; further ones wait to be accepted.
pub const CONNECTIONS: usize = 1_024;
/// How long the readiness check waits for the database.
pub const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a browser may take from the sign-in page to the posted response.
pub const LOGIN_COOKIE: Duration = Duration::from_secs(600);
/// How many portions of ended runs one request removes; the next request goes on.
pub const PRUNE_PORTIONS: u32 = 10;
/// The largest context that a run's page shows: browsers lay out what is larger for seconds.
pub const CONTEXT_SHOWN_BYTES: u64 = 1024 * 1024;
/// How many acts a page of the console lists.
pub const ACTS_LISTED: u32 = 50;
/// How many tasks in a node's hands are named.
pub const TASKS_NAMED: u32 = 20;
/// How often expired sessions, intents and replay keys are removed.
pub const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// How many steps of pruning follow each other before the next pause.
pub const PRUNE_STEPS: u32 = 100;
/// How many hundredths of each piece of a collection's time are rested after it.
pub const COLLECT_REST: u32 = 100;
/// How often a collection looks at all blobs, and not only at those that lost a use.
pub const COLLECT_FULL_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest archive or file that is uploaded: the largest layer, and what goes with it.
pub const UPLOAD_BYTES: u64 = 65 * 1024 * 1024 * 1024;
/// How long an archive may take on its way in or out.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// How many archives are on their way in at once, and as many out; further ones are asked to come back.
pub const TRANSFERS: usize = 8;
/// How long an archive on its way may stand still before it is given up.
pub const TRANSFER_STALL: Duration = Duration::from_secs(60);
/// So many octets of the data directory's disk stay free of archives: the database writes there too.
pub const DATA_FREE_BYTES: u64 = 256 * 1024 * 1024;
/// How many acts on an image its page lists.
pub const IMAGE_ACTS_LISTED: u32 = 20;
/// How many images a page of the console lists.
pub const IMAGES_LISTED: u32 = 50;
/// The most images that the console draws with what they come from.
pub const IMAGES_DRAWN: u32 = 200;
/// Up to how many the console counts the images that use a layer.
pub const USERS_COUNTED: u32 = 1_000;
/// The most images of which the interface tells in one answer what they come from.
pub const LINEAGE_LISTED: u32 = 10_000;
/// How much longer than it took to read what a report of the whole store is kept, which others who ask are told meanwhile.
pub const REPORT_KEPT_FACTOR: u32 = 10;
/// What takes less is read again for everybody who asks.
pub const REPORT_KEPT_FROM: Duration = Duration::from_millis(100);
/// The longest time for which a report is kept.
pub const REPORT_KEPT_MOST: Duration = Duration::from_secs(60);
/// How many images, blobs and files a plan of a collection lists of each.
pub const PLAN_LISTED: usize = 1_000;
/// How many blobs that are not on disk the account of a collection names.
pub const MISSING_LISTED: usize = 100;
/// How many passes of a scrub, and how many findings, a page of the console lists.
pub const SCRUBS_LISTED: u32 = 20;
/// How many past collections a page of the console lists.
pub const COLLECTIONS_LISTED: u32 = 20;
/// How many connections the sign-in page lists before it asks for the organisation.
pub const SIGN_IN_LISTED: usize = 12;
/// How many connections the console lists.
pub const CONSOLE_LISTED: u32 = 200;
/// The largest metadata document that is fetched or read.
pub const METADATA_BYTES: usize = 10 * 1024 * 1024;
/// How often the files of the TLS certificate are looked at.
pub const TLS_LOOK: Duration = Duration::from_secs(2);
/// How often a server that shares its database says that it runs.
pub const NODE_HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a server counts as running after it last said so.
pub const NODE_TTL: Duration = Duration::from_secs(30);
/// The most other nodes that `peers` or `standbys` names.
pub const PEERS: usize = 64;
/// How long a server on plain SQLite rests between two looks at another node: so long both may write before one is seen.
pub const PEER_EVERY: Duration = Duration::from_millis(250);
/// How long a command that goes on counts on what the other nodes said.
pub const COMMAND_ASKS_EVERY: Duration = Duration::from_secs(60);
/// How long connecting to a peer may take, and how long the peer may then take to say who it is.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest answer of a peer.
pub const PEER_BYTES: usize = 1024;
/// How long fetching metadata may take, all in all.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one batch of spans may take on its way to the collector of traces, and how long the last one is waited for.
pub const TRACES_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer of a collector of traces.
pub const TRACES_ANSWER: usize = 64 * 1024;
