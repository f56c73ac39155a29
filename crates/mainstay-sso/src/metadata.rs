//! An identity provider's metadata: what an import would change, and whether it may.

use mainstay_core::Timestamp;
use mainstay_saml::{Certificate, IdpMetadata};
use serde::{Deserialize, Serialize};

use crate::certificate::{CertificateRecord, CertificateState};
use crate::connection::{Connection, text_enum};
use crate::ids::{ConnectionId, RevisionId};

/// Where metadata came from. Fetching it is the host's part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataSource {
    /// Pasted into a form.
    Paste,
    /// Read from a file of this name.
    File(String),
    /// Fetched from this URL.
    Url(String),
}

impl MetadataSource {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Paste => "paste".to_owned(),
            Self::File(name) => format!("file:{}", crate::trace::shown(name)),
            Self::Url(url) => format!("url:{}", crate::trace::shown(url)),
        }
    }
}

/// Metadata to import.
#[derive(Debug, Clone)]
pub struct MetadataInput {
    /// The document.
    pub xml: Vec<u8>,
    /// Where it came from.
    pub source: MetadataSource,
    /// Which entity to read when the document holds several.
    pub entity_id: Option<String>,
    /// The pinned certificates of the document's signer; when there are any, it must be signed by one of them.
    pub signers: Vec<Certificate>,
    /// Whether to apply it although it changes what logins rely on.
    pub accept_drift: bool,
}

impl MetadataInput {
    /// Metadata that was pasted, with the cautious settings.
    #[must_use]
    pub const fn pasted(xml: Vec<u8>) -> Self {
        Self { xml, source: MetadataSource::Paste, entity_id: None, signers: Vec::new(), accept_drift: false }
    }
}

text_enum! {
    /// What became of metadata.
    RevisionOutcome {
        /// It was applied.
        Applied "applied",
        /// It says what was known already.
        Unchanged "unchanged",
        /// It would change what logins rely on; nothing was applied.
        Held "held",
        /// It does not parse, or is not what it claims.
        Rejected "rejected",
    }
}

/// What metadata changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetadataDiff {
    /// The entity id before and after, when it changes.
    pub entity_id: Option<(String, String)>,
    /// The sign-in URL before and after, when it changes.
    pub sso_url: Option<(String, String)>,
    /// Fingerprints that were not known.
    pub new_certificates: Vec<String>,
    /// Fingerprints that are listed again, whatever their state; nothing changes for them.
    pub known_certificates: Vec<String>,
    /// Fingerprints of active certificates that are not listed any more; they stay active.
    pub absent_certificates: Vec<String>,
}

impl MetadataDiff {
    /// Whether it changes what logins rely on: the entity, where requests go, or that a trusted key is gone.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        self.entity_id.is_some() || self.sso_url.is_some() || !self.absent_certificates.is_empty()
    }

    /// Whether it says nothing new.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_drift() && self.new_certificates.is_empty()
    }
}

/// An attempt to import metadata, kept with the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MetadataRevision {
    /// Its name.
    pub id: RevisionId,
    /// The connection.
    pub connection: ConnectionId,
    /// When.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: RevisionOutcome,
    /// Why it was held or rejected.
    pub problem: Option<String>,
    /// SHA-256 of the document, in hexadecimal digits.
    pub sha256: String,
    /// The entity id in it.
    pub entity_id: Option<String>,
    /// The sign-in URL in it.
    pub sso_url: Option<String>,
    /// The signing certificates in it.
    pub fingerprints: Vec<String>,
    /// Where it came from.
    pub source: String,
    /// Who imported it.
    pub actor: String,
    /// Why.
    pub cause: String,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetadataImport {
    /// The connection afterwards.
    pub connection: Connection,
    /// The record of the import.
    pub revision: MetadataRevision,
    /// What changed.
    pub diff: MetadataDiff,
}

/// What is to be done with a parsed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) outcome: RevisionOutcome,
    pub(crate) diff: MetadataDiff,
    pub(crate) entity_id: String,
    pub(crate) sso_url: String,
    /// The certificates to add, and in which state: active on the first import, later next.
    pub(crate) add: Vec<(Certificate, CertificateState)>,
}

/// Compares a document with what is stored. The first import makes the certificates active: there is nothing yet to break.
pub(crate) fn plan(
    connection: &Connection,
    certificates: &[CertificateRecord],
    metadata: &IdpMetadata,
    sso_url: &str,
    accept_drift: bool,
) -> Plan {
    let listed: Vec<String> =
        metadata.signing_certificates.iter().map(|c| c.fingerprint().to_string()).collect();
    let known = |fingerprint: &String| certificates.iter().any(|record| record.fingerprint == *fingerprint);
    let first = connection.idp_entity_id.is_none() && certificates.is_empty();
    let changed = |before: &Option<String>, after: &str| {
        before.as_ref().filter(|before| *before != after).map(|before| (before.clone(), after.to_owned()))
    };
    let gone = |record: &&CertificateRecord| {
        record.state == CertificateState::Active && !listed.contains(&record.fingerprint)
    };
    let diff = MetadataDiff {
        entity_id: changed(&connection.idp_entity_id, &metadata.entity_id),
        sso_url: changed(&connection.idp_sso_url, sso_url),
        new_certificates: listed.iter().filter(|one| !known(one)).cloned().collect(),
        known_certificates: listed.iter().filter(|one| known(one)).cloned().collect(),
        absent_certificates: certificates
            .iter()
            .filter(gone)
            .map(|record| record.fingerprint.clone())
            .collect(),
    };
    let fills_a_gap = connection.idp_entity_id.is_none() || connection.idp_sso_url.is_none();
    let outcome = if diff.is_drift() && !accept_drift {
        RevisionOutcome::Held
    } else if diff.is_empty() && !fills_a_gap {
        RevisionOutcome::Unchanged
    } else {
        RevisionOutcome::Applied
    };
    let state = if first { CertificateState::Active } else { CertificateState::Next };
    let is_new = |c: &&Certificate| !known(&c.fingerprint().to_string());
    let add = metadata.signing_certificates.iter().filter(is_new).map(|c| (c.clone(), state)).collect();
    Plan { outcome, diff, entity_id: metadata.entity_id.clone(), sso_url: sso_url.to_owned(), add }
}
