//! What a connection must have before people may sign in through it.

use mainstay_core::Timestamp;
use serde::Serialize;

use crate::certificate::{CertificateRecord, CertificateState};
use crate::connection::Connection;

/// Something that a connection lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Missing {
    /// This service's entity id.
    SpEntityId,
    /// Where responses are posted.
    AcsUrl,
    /// The identity provider's entity id.
    IdpEntityId,
    /// Where requests are sent.
    IdpSsoUrl,
    /// A certificate that is active.
    ActiveCertificate,
    /// An active certificate whose validity has not ended.
    ValidActiveCertificate,
}

impl Missing {
    /// What is missing, and what mends it.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::SpEntityId => "the service has no entity id; set sp_entity_id",
            Self::AcsUrl => "the service has no assertion consumer URL; set acs_url",
            Self::IdpEntityId => "the identity provider's entity id is not known; import its metadata",
            Self::IdpSsoUrl => "the identity provider's sign-in URL is not known; import its metadata",
            Self::ActiveCertificate => {
                "no certificate is active; import metadata or activate a staged certificate"
            }
            Self::ValidActiveCertificate => {
                "every active certificate has expired; stage and activate the identity provider's current one"
            }
        }
    }
}

/// All that a connection lacks, so that an operator mends it in one go.
pub(crate) fn missing(
    connection: &Connection,
    certificates: &[CertificateRecord],
    now: Timestamp,
) -> Vec<Missing> {
    let active = || certificates.iter().filter(|record| record.state == CertificateState::Active);
    [
        (connection.sp_entity_id.is_empty(), Missing::SpEntityId),
        (connection.acs_url.is_empty(), Missing::AcsUrl),
        (connection.idp_entity_id.is_none(), Missing::IdpEntityId),
        (connection.idp_sso_url.is_none(), Missing::IdpSsoUrl),
        (active().next().is_none(), Missing::ActiveCertificate),
        (
            active().next().is_some() && active().all(|record| record.not_after < now),
            Missing::ValidActiveCertificate,
        ),
    ]
    .into_iter()
    .filter_map(|(lacks, what)| lacks.then_some(what))
    .collect()
}
