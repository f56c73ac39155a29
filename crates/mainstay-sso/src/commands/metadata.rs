//! Importing metadata: every attempt leaves a revision with the document, applied or not.

use mainstay_core::{Cursor, Page, PageSize};
use mainstay_repo::Row;
use mainstay_saml::{IdpMetadata, MetadataOptions};
use serde_json::json;

use super::change::Change;
use crate::certificate::{self, CertificateRecord};
use crate::connection::{Connection, checked_sso_url, checked_uri};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ConnectionId, RevisionId};
use crate::metadata::{MetadataImport, MetadataInput, MetadataRevision, Plan, RevisionOutcome, plan};
use crate::scope::{Cause, Role, Scope};
use crate::sso::Sso;
use crate::store::{certificates, revisions};
use crate::token::{hex, sha256};

/// How much of a rejected document is kept; it may be anything.
const MAX_REJECTED_CHARS: usize = 64 * 1024;

impl Sso {
    /// Imports an identity provider's metadata. The first import sets everything and trusts the certificates; later ones only
    /// stage new certificates, and hold back whatever changes what logins rely on, unless that is accepted.
    ///
    /// # Errors
    /// [`ErrorKind::Metadata`] when it does not parse; [`ErrorKind::MetadataDrift`] when it was held back;
    /// [`ErrorKind::Stale`]. The attempt is on record in the first two cases too.
    pub async fn metadata_import(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
        input: MetadataInput,
    ) -> Result<MetadataImport> {
        let (connection, records) = self.connection_to_change(scope, Role::Write, id, version).await?;
        let mut revision = self.new_revision(scope, cause, id, &input);
        let (metadata, sso_url) = match self.read_metadata(&connection, &input) {
            Ok(read) => read,
            Err(problem) => {
                revision.problem = Some(problem.clone());
                self.put_on_record(scope, cause, &connection, &revision, &input.xml).await?;
                return Err(Error::new(ErrorKind::Metadata, problem).with_help(
                    "get the metadata again from the identity provider, and check the entity id and the signer if they \
                     were given; the attempt is on record",
                ));
            }
        };
        let plan = plan(&connection, &records, &metadata, &sso_url, input.accept_drift);
        revision.outcome = plan.outcome;
        revision.entity_id = Some(plan.entity_id.clone());
        revision.sso_url = Some(plan.sso_url.clone());
        revision.fingerprints =
            metadata.signing_certificates.iter().map(|c| c.fingerprint().to_string()).collect();
        match plan.outcome {
            RevisionOutcome::Applied => {
                self.apply_metadata(scope, cause, connection, revision, plan, &input.xml).await
            }
            RevisionOutcome::Held => {
                let problem = "it changes what logins rely on";
                revision.problem = Some(problem.to_owned());
                self.put_on_record(scope, cause, &connection, &revision, &input.xml).await?;
                Err(Error::new(ErrorKind::MetadataDrift(plan.diff), format!("the metadata was held back: {problem}"))
                    .with_help("compare the differences with the identity provider's administrator, then accept the drift"))
            }
            RevisionOutcome::Unchanged | RevisionOutcome::Rejected => {
                self.put_on_record(scope, cause, &connection, &revision, &input.xml).await?;
                Ok(MetadataImport { connection, revision, diff: plan.diff })
            }
        }
    }

    /// One page of a connection's revisions, the newest first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn metadata_revision_list(
        &self,
        scope: &Scope,
        id: ConnectionId,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<MetadataRevision>> {
        self.connection_in(scope, Role::Read, id).await?;
        let items = self.repo().read_all(revisions::list(id, size, after)).await?;
        Ok(Page::from_surplus(items, size, |last: &MetadataRevision| Cursor::new(last.id.to_string())))
    }

    /// The document of a revision.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn metadata_revision_xml(
        &self,
        scope: &Scope,
        id: ConnectionId,
        revision: RevisionId,
    ) -> Result<String> {
        self.connection_in(scope, Role::Read, id).await?;
        let row: Option<Row> = self.repo().read_optional(revisions::xml(id, revision)).await?;
        let row = row.ok_or_else(|| Error::not_found("the connection has no such revision"))?;
        Ok(row.get("xml")?)
    }

    fn new_revision(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        input: &MetadataInput,
    ) -> MetadataRevision {
        MetadataRevision {
            id: RevisionId::generate(&*self.options().clock),
            connection: id,
            at: self.now(),
            outcome: RevisionOutcome::Rejected,
            problem: None,
            sha256: hex(&sha256(&input.xml)),
            entity_id: None,
            sso_url: None,
            fingerprints: Vec::new(),
            source: input.source.describe(),
            actor: scope.actor.as_str().to_owned(),
            cause: cause.as_str().to_owned(),
        }
    }

    fn read_metadata(
        &self,
        connection: &Connection,
        input: &MetadataInput,
    ) -> Result<(IdpMetadata, String), String> {
        let options = MetadataOptions {
            entity_id: input.entity_id.as_deref(),
            signers: &input.signers,
            policy: &connection.policy,
            now: self.now(),
        };
        let metadata = IdpMetadata::parse(&input.xml, &options).map_err(|problem| problem.to_string())?;
        checked_uri("entity_id", &metadata.entity_id).map_err(|problem| problem.to_string())?;
        let url = metadata
            .sso_redirect_url
            .clone()
            .ok_or("the identity provider has no sign-in URL for the redirect binding")?;
        let url = checked_sso_url(&url).map_err(|problem| problem.to_string())?;
        Ok((metadata, url))
    }

    async fn apply_metadata(
        &self,
        scope: &Scope,
        cause: &Cause,
        mut connection: Connection,
        revision: MetadataRevision,
        plan: Plan,
        xml: &[u8],
    ) -> Result<MetadataImport> {
        connection.idp_entity_id = Some(plan.entity_id);
        connection.idp_sso_url = Some(plan.sso_url);
        connection.updated_at = revision.at;
        let mut change = Change::new(self, "metadata.apply", scope, cause)
            .about(connection.id, connection.organization.as_ref())
            .details(&json!({ "revision": revision.id, "diff": &plan.diff }))
            .write_connection(&connection)?
            .step(revisions::insert(&revision, &text(xml, usize::MAX))?);
        for (certificate, state) in &plan.add {
            let source = format!("metadata:{}", revision.id);
            let record: CertificateRecord = certificate::record(certificate, *state, source, revision.at);
            change = change.step(certificates::insert(connection.id, &record));
        }
        self.apply(change).await?;
        connection.lock_version += 1;
        Ok(MetadataImport { connection, revision, diff: plan.diff })
    }

    /// Keeps an attempt that changed nothing.
    async fn put_on_record(
        &self,
        scope: &Scope,
        cause: &Cause,
        connection: &Connection,
        revision: &MetadataRevision,
        xml: &[u8],
    ) -> Result<()> {
        let most = match revision.outcome {
            RevisionOutcome::Rejected => MAX_REJECTED_CHARS,
            _ => usize::MAX,
        };
        let change = Change::new(self, "metadata.attempt", scope, cause)
            .about(connection.id, connection.organization.as_ref())
            .details(&json!({ "revision": revision.id, "outcome": revision.outcome, "problem": &revision.problem }))
            .step(revisions::insert(revision, &text(xml, most))?);
        self.apply(change).await.map(drop)
    }
}

/// A document as text that both databases can hold.
fn text(xml: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(xml);
    text.chars().take(most).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
}
