//! The HTTP surface of Mainstay: sign-in, workflows, images, the console and the API behind one port.
//!
//! It holds no business rule. A handler parses, calls the crate of its subject, and renders. Who may do what of sign-in is decided in
//! `mainstay-sso`; who may see and move runs, and see images, in `workflow/access.rs` here, from the same roles.
//!
//! ```no_run
//! use mainstay_server::{Config, Loaded, Server, Sources};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let flags = vec![("data", "/var/lib/mainstay".to_owned())];
//! let loaded = Loaded::from_sources(&Sources { flags, ..Sources::default() });
//! let config: Config = loaded.into_config().map_err(|problems| problems[0].to_string())?;
//! let server = Server::start(&config).await?; // the database is migrated and the port is bound
//! println!("{}", server.started().url);
//! let _ended = server.run(std::future::pending()).await; // until the future ends, then drains
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

mod api;
mod app;
mod auth;
mod claim;
mod config;
mod console;
mod dev;
mod fetch;
mod http;
mod names;
mod ops;
mod problem;
mod ready;
mod router;
mod saml;
mod single_node;
mod start;
mod store;
mod traces;
mod workflow;

pub mod images;
pub mod limits;

pub use crate::http::tls::TlsFilesError;
pub use claim::{Claim, claim};
pub use config::{
    Config, ENVIRONMENT_PREFIX, Effective, ImageSettings, Loaded, LogFormat, Origin,
    Problem as ConfigProblem, PublicUrl, SETTINGS, Setting, Sources, TlsFiles, parse_size, parse_time,
};
pub use dev::{KeyFileError, ORGANIZATION as DEVELOPMENT_ORGANIZATION};
pub use fetch::{FetchError, FetchPolicy, fetch};
pub use names::{acs_template, create_connection, metadata_url};
pub use problem::{Problem, ProblemKind, TYPE_BASE as PROBLEM_TYPE_BASE};
pub use single_node::{PeerFound, only_here};
pub use start::{COMPONENTS, Ended, Server, StartError, Started, open, prepare_data, sign_in};
pub use traces::{Traces, TracesError};
pub use workflow::{DEFAULT_NAMESPACE, document, settings, timeline};
