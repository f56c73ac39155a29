#![doc = include_str!("../docs/crate.md")]
#![deny(missing_docs)]

mod audit;
mod certificate;
mod commands;
mod connection;
mod error;
mod ids;
mod memory;
mod metadata;
mod options;
mod principal;
mod random;
mod readiness;
mod refusal;
mod scope;
mod session;
mod sign_in;
mod sso;
mod store;
mod token;
mod trace;

pub use audit::{AuditAnchor, AuditEvent, AuditFilter, Broken, ChainVerdict};
pub use certificate::{CertificateRecord, CertificateState};
pub use commands::Pruned;
pub use connection::{
    AcsUrl, CONNECTION_PLACEHOLDER, Connection, ConnectionFilter, ConnectionUpdate, IdpFields, MAX_URI_CHARS,
    NewConnection, Preset, RequestSettings, SessionsOnDisable, Status,
};
pub use error::{Error, ErrorKind, Result};
pub use ids::{AuditId, ConnectionId, RevisionId, SessionId, TraceId};
pub use metadata::{
    MetadataDiff, MetadataImport, MetadataInput, MetadataRevision, MetadataSource, RevisionOutcome,
};
pub use options::{IntentStore, Lifetimes, MemoryStores, ReplayStore, SsoOptions};
pub use principal::{Principal, PrincipalAttribute};
pub use random::{Random, RandomError, SystemRandom};
pub use readiness::Missing;
pub use refusal::{SignInRefusal, SignInRefused};
pub use scope::{Actor, Cause, MAX_CAUSE_CHARS, MAX_NAME_CHARS, OrganizationId, Role, Scope};
pub use session::{Administrator, Session, SessionFilter, SessionKind};
pub use sign_in::{
    FinishInput, MAX_CORRELATION_CHARS, PendingLogin, Redirect, SignInError, SignedIn, Snapshot, StartInput,
};
pub use sso::Sso;
pub use store::{COMPONENT, IntentTable, ReplayTable};
pub use token::{BrowserBinding, SessionToken, SetupToken};
pub use trace::{Flow, LoginOutcome, LoginTrace, MAX_TRACE_CHARS, TraceFilter};
