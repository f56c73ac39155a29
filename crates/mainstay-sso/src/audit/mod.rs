//! The audit: append-only, one stream, each event chained to the one before it. It outlives what it describes.

pub(crate) mod chain;

use mainstay_core::Timestamp;
use serde::Serialize;

use crate::ids::{AuditId, ConnectionId};
use crate::scope::OrganizationId;

pub use self::chain::{AuditAnchor, Broken, ChainVerdict};

/// One event of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditEvent {
    /// Its place in the stream, from one, without gaps.
    pub seq: i64,
    /// Its name.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// What was done: `connection.enable`, `certificate.retire`, …
    pub action: String,
    /// To which connection.
    pub connection: Option<ConnectionId>,
    /// Whose connection.
    pub organization: Option<OrganizationId>,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub cause: String,
    /// What changed: a JSON document, kept as the text that was hashed.
    pub details: String,
    /// The hash of the event before.
    pub previous_hash: Vec<u8>,
    /// SHA-256 over the hash of the event before and this one's content.
    pub hash: Vec<u8>,
}

/// Which events to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Only those about this connection.
    pub connection: Option<ConnectionId>,
}

/// Where the stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: i64,
    pub(crate) hash: Vec<u8>,
}

/// An event that has no place in the stream yet.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: AuditId,
    pub(crate) at: Timestamp,
    pub(crate) action: &'static str,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) actor: String,
    pub(crate) cause: String,
    pub(crate) details: String,
}

impl Entry {
    /// The event that follows a head.
    pub(crate) fn behind(&self, head: &Head) -> AuditEvent {
        let mut event = AuditEvent {
            seq: head.seq.saturating_add(1),
            id: self.id,
            at: self.at,
            action: self.action.to_owned(),
            connection: self.connection,
            organization: self.organization.clone(),
            actor: self.actor.clone(),
            cause: self.cause.clone(),
            details: self.details.clone(),
            previous_hash: head.hash.clone(),
            hash: Vec::new(),
        };
        event.hash = chain::hash(&event);
        event
    }
}
