//! Revisions of metadata: every attempt to import, with the document.

use mainstay_core::{Cursor, PageSize};
use mainstay_repo::{FromRow, Json, Row, Sql, Statement};

use crate::error::Result;
use crate::ids::{ConnectionId, RevisionId};
use crate::metadata::MetadataRevision;

const INSERT: Sql = Sql::new(
    "INSERT INTO sso_metadata_revisions (id, connection_id, at, outcome, problem, xml, sha256, entity_id, sso_url, \
     fingerprints, source, actor, cause) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
);
const LIST: Sql = Sql::new(
    "SELECT id, connection_id, at, outcome, problem, sha256, entity_id, sso_url, fingerprints, source, actor, cause \
     FROM sso_metadata_revisions WHERE connection_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
);
const XML: Sql = Sql::new("SELECT xml FROM sso_metadata_revisions WHERE connection_id = $1 AND id = $2");

impl FromRow for MetadataRevision {
    fn from_row(row: &Row) -> mainstay_repo::Result<Self> {
        Ok(Self {
            id: row.parse("id")?,
            connection: row.parse("connection_id")?,
            at: row.get("at")?,
            outcome: row.parse("outcome")?,
            problem: row.get("problem")?,
            sha256: row.get("sha256")?,
            entity_id: row.get("entity_id")?,
            sso_url: row.get("sso_url")?,
            fingerprints: row.get::<Json>("fingerprints")?.to()?,
            source: row.get("source")?,
            actor: row.get("actor")?,
            cause: row.get("cause")?,
        })
    }
}

/// Adds a revision with its document.
pub(crate) fn insert(revision: &MetadataRevision, xml: &str) -> Result<Statement> {
    Ok(Statement::new(INSERT)
        .bind_text(revision.id)
        .bind_text(revision.connection)
        .bind(revision.at)
        .bind_text(revision.outcome)
        .bind(revision.problem.clone())
        .bind(xml)
        .bind(&revision.sha256)
        .bind(revision.entity_id.clone())
        .bind(revision.sso_url.clone())
        .bind(Json::encode(&revision.fingerprints)?)
        .bind(&revision.source)
        .bind(&revision.actor)
        .bind(&revision.cause)
        .named("sso.revision_insert"))
}

/// One page of a connection's revisions and one more, the newest first.
pub(crate) fn list(connection: ConnectionId, size: PageSize, after: Option<&Cursor>) -> Statement {
    Statement::new(LIST)
        .bind_text(connection)
        .bind(after.map_or(super::AFTER_ALL, Cursor::as_str))
        .bind(i64::from(size.get()) + 1)
        .named("sso.revision_list")
}

/// The document of a revision.
pub(crate) fn xml(connection: ConnectionId, id: RevisionId) -> Statement {
    Statement::new(XML).bind_text(connection).bind_text(id).named("sso.revision_xml")
}
