//! What a connection looks like to a login: complete, immutable, and of one version.

use std::sync::{Arc, PoisonError};

use mainstay_saml::{Certificate, ServiceProvider, Trust};

use super::SignInError;
use super::record::{Attempt, Failure};
use crate::certificate::{CertificateRecord, CertificateState};
use crate::connection::{Connection, RequestSettings, Status};
use crate::ids::ConnectionId;
use crate::refusal::SignInRefusal;
use crate::scope::OrganizationId;
use crate::sso::Sso;
use crate::store::{certificates, connections};
use crate::trace::Flow;
use mainstay_repo::FromRow as _;

/// How many connections are remembered; beyond that, memory begins anew.
const MAX_SNAPSHOTS: usize = 10_000;

/// A connection that people can sign in through, as of one version.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The connection.
    pub id: ConnectionId,
    /// Its tenant.
    pub organization: Option<OrganizationId>,
    /// Its name for people.
    pub display_name: String,
    /// The version that this is a picture of.
    pub version: i64,
    /// This service.
    pub sp: ServiceProvider,
    /// The identity provider, every active certificate, and the policy.
    pub trust: Trust,
    /// What requests ask for.
    pub request: RequestSettings,
}

/// Makes the picture, or says why nobody can sign in.
pub(crate) fn picture(
    connection: Connection,
    certificates: &[CertificateRecord],
) -> Result<Snapshot, (SignInRefusal, Option<String>)> {
    match connection.status {
        Status::Enabled => {}
        Status::Draft => return Err((SignInRefusal::ConnectionDraft, None)),
        Status::Disabled => return Err((SignInRefusal::ConnectionDisabled, None)),
    }
    let invalid = |what: &str| (SignInRefusal::ConnectionInvalid, Some(what.to_owned()));
    let entity_id = connection.idp_entity_id.ok_or_else(|| invalid("no identity provider entity id"))?;
    let sso_url = connection.idp_sso_url.ok_or_else(|| invalid("no identity provider sign-in URL"))?;
    if connection.sp_entity_id.is_empty() || connection.acs_url.is_empty() {
        return Err(invalid("no service entity id or assertion consumer URL"));
    }
    // Short keys are read here and judged at each login, because the permission for them ends at an instant.
    let active = certificates.iter().filter(|record| record.state == CertificateState::Active);
    let active =
        active.map(|record| Certificate::from_legacy_pem(&record.pem)).collect::<Result<Vec<_>, _>>();
    let active = active.map_err(|problem| invalid(&format!("an active certificate: {problem}")))?;
    if active.is_empty() {
        return Err(invalid("no active certificate"));
    }
    let mut policy = connection.policy;
    if policy.authn_contexts.is_empty() {
        policy.authn_contexts.clone_from(&connection.request.authn_contexts);
    }
    Ok(Snapshot {
        id: connection.id,
        organization: connection.organization,
        display_name: connection.display_name,
        version: connection.lock_version,
        sp: ServiceProvider::new(connection.sp_entity_id, connection.acs_url),
        trust: Trust { entity_id, sso_url, certificates: active, policy },
        request: connection.request,
    })
}

impl Sso {
    /// A connection as logins see it now.
    ///
    /// # Errors
    /// [`SignInError::Refused`] when nobody can sign in through it: not found, draft, disabled, unusable. No trace is written.
    pub async fn resolve(&self, connection: ConnectionId) -> Result<Arc<Snapshot>, SignInError> {
        match self.load_snapshot(connection).await {
            Ok(snapshot) => Ok(snapshot),
            Err(failure) => {
                let mut attempt = Attempt::new(self, None, Flow::Unknown);
                attempt.connection = Some(connection);
                Err(attempt.untraced(failure))
            }
        }
    }

    /// What was last known of a connection. Whoever uses it checks its version in the database in the same step.
    pub(crate) fn cached_snapshot(&self, id: ConnectionId) -> Option<Arc<Snapshot>> {
        self.shared.snapshots.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Reads a connection anew and remembers it.
    pub(crate) async fn load_snapshot(&self, id: ConnectionId) -> Result<Arc<Snapshot>, Failure> {
        let rows = self.repo().read_many(vec![connections::find(id), certificates::list(id)]).await?;
        let mut results = rows.iter();
        let row = results.next().and_then(|rows| rows.first());
        let connection = row.map(Connection::from_row).transpose();
        let records: Result<Vec<_>, _> =
            results.next().into_iter().flatten().map(CertificateRecord::from_row).collect();
        let picture = match (connection, records) {
            (Ok(None), _) => Err((SignInRefusal::ConnectionNotFound, None)),
            (Ok(Some(connection)), Ok(records)) => picture(connection, &records),
            (Err(problem), _) | (_, Err(problem)) => {
                Err((SignInRefusal::ConnectionInvalid, Some(problem.message().to_owned())))
            }
        };
        let mut snapshots = self.shared.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        match picture {
            Ok(snapshot) => {
                if snapshots.len() >= MAX_SNAPSHOTS {
                    snapshots.clear();
                }
                let snapshot = Arc::new(snapshot);
                snapshots.insert(id, Arc::clone(&snapshot));
                Ok(snapshot)
            }
            Err((refusal, actual)) => {
                snapshots.remove(&id);
                Err(Failure::refused(refusal).found(actual.as_deref()))
            }
        }
    }
}
