//! Durable, multi-tenant SAML sign-in on [`mainstay_repo`]: connections, request intents, replay protection, sessions,
//! certificates, metadata, login traces, and an audit that is chained.
//!
//! A login is one atomic batch: the replay key, the consumed intent, the check that the connection is still what it was
//! validated with, the trace and the session are committed together or not at all. Every refusal has one exact reason
//! ([`SignInRefusal`]); everything that is stored is enforced.
//!
//! * [`Sso`] is the handle; [`SsoOptions`] sets it up; [`COMPONENT`] brings its tables.
//! * [`Sso::sign_in_start`] and [`Sso::sign_in_finish`] are the login, [`Sso::session`] is every request after it.
//! * The commands ([`Sso::connection_create`], …) take a [`Scope`] and a [`Cause`] and leave an [`AuditEvent`].
//!
//! The crate knows no web framework and fetches nothing: the host hands over form fields and bytes.

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
