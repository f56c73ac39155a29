//! Connections.

use mainstay_core::{Cursor, PageSize};
use mainstay_repo::{FromRow, Json, Row, Sql, Statement};

use crate::connection::{Connection, ConnectionFilter, name_key};
use crate::error::Result;
use crate::ids::ConnectionId;
use crate::scope::OrganizationId;

const INSERT: Sql = Sql::new(
    "INSERT INTO sso_connections (id, display_name, organization_id, status, preset, sp_entity_id, acs_url, \
     idp_entity_id, idp_sso_url, policy, request, lock_version, created_at, updated_at, name_key) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
);
const UPDATE: Sql = Sql::new(
    "UPDATE sso_connections SET display_name = $3, status = $4, preset = $5, sp_entity_id = $6, acs_url = $7, \
     idp_entity_id = $8, idp_sso_url = $9, policy = $10, request = $11, updated_at = $12, \
     name_key = $13, lock_version = lock_version + 1 WHERE id = $1 AND lock_version = $2",
);
const DELETE: Sql =
    Sql::new("DELETE FROM sso_connections WHERE id = $1 AND lock_version = $2 AND status <> 'enabled'");
const FIND: Sql = Sql::new("SELECT * FROM sso_connections WHERE id = $1");
const UNCHANGED: Sql = Sql::new(
    "SELECT 1 AS unchanged FROM sso_connections WHERE id = $1 AND lock_version = $2 AND status = 'enabled'",
);
const LIST: Sql = Sql::new(
    "SELECT * FROM sso_connections WHERE id > $1 \
     AND (CAST($2 AS text) IS NULL OR organization_id = CAST($2 AS text)) \
     AND (CAST($3 AS text) IS NULL OR status = CAST($3 AS text)) ORDER BY id LIMIT $4",
);
// The two names each have an index: what is searched by strangers does not read the table.
const LIST_NAMED: Sql = Sql::new(
    "SELECT * FROM sso_connections WHERE id IN (SELECT id FROM sso_connections WHERE organization_id = $5 \
     UNION ALL SELECT id FROM sso_connections WHERE name_key = $6) AND id > $1 \
     AND (CAST($2 AS text) IS NULL OR organization_id = CAST($2 AS text)) \
     AND (CAST($3 AS text) IS NULL OR status = CAST($3 AS text)) ORDER BY id LIMIT $4",
);

impl FromRow for Connection {
    fn from_row(row: &Row) -> mainstay_repo::Result<Self> {
        Ok(Self {
            id: row.parse("id")?,
            display_name: row.get("display_name")?,
            organization: row.parse_optional("organization_id")?,
            status: row.parse("status")?,
            preset: row.parse("preset")?,
            sp_entity_id: row.get("sp_entity_id")?,
            acs_url: row.get("acs_url")?,
            idp_entity_id: row.get("idp_entity_id")?,
            idp_sso_url: row.get("idp_sso_url")?,
            policy: row.get::<Json>("policy")?.to()?,
            request: row.get::<Json>("request")?.to()?,
            lock_version: row.get("lock_version")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// Adds a connection.
pub(crate) fn insert(connection: &Connection) -> Result<Statement> {
    Ok(Statement::new(INSERT)
        .bind_text(connection.id)
        .bind(&connection.display_name)
        .bind_optional_text(connection.organization.as_ref())
        .bind_text(connection.status)
        .bind_text(connection.preset)
        .bind(&connection.sp_entity_id)
        .bind(&connection.acs_url)
        .bind_optional_text(connection.idp_entity_id.as_ref())
        .bind_optional_text(connection.idp_sso_url.as_ref())
        .bind(Json::encode(&connection.policy)?)
        .bind(Json::encode(&connection.request)?)
        .bind(connection.lock_version)
        .bind(connection.created_at)
        .bind(connection.updated_at)
        .bind(name_key(&connection.display_name))
        .named("sso.connection_insert"))
}

/// Writes a connection over the version that `connection` was read at; one row unless it has moved on.
pub(crate) fn update(connection: &Connection) -> Result<Statement> {
    Ok(Statement::new(UPDATE)
        .bind_text(connection.id)
        .bind(connection.lock_version)
        .bind(&connection.display_name)
        .bind_text(connection.status)
        .bind_text(connection.preset)
        .bind(&connection.sp_entity_id)
        .bind(&connection.acs_url)
        .bind_optional_text(connection.idp_entity_id.as_ref())
        .bind_optional_text(connection.idp_sso_url.as_ref())
        .bind(Json::encode(&connection.policy)?)
        .bind(Json::encode(&connection.request)?)
        .bind(connection.updated_at)
        .bind(name_key(&connection.display_name))
        .named("sso.connection_update"))
}

/// Removes a connection that is not enabled, with its certificates and administrators.
pub(crate) fn delete(id: ConnectionId, version: i64) -> Statement {
    Statement::new(DELETE).bind_text(id).bind(version).named("sso.connection_delete")
}

/// Finds a connection.
pub(crate) fn find(id: ConnectionId) -> Statement {
    Statement::new(FIND).bind_text(id).named("sso.connection_find")
}

/// One row while the connection is enabled and at this version.
pub(crate) fn unchanged(id: ConnectionId, version: i64) -> Statement {
    Statement::new(UNCHANGED).bind_text(id).bind(version).named("sso.connection_unchanged")
}

/// One page of connections and one more.
pub(crate) fn list(
    organization: Option<&OrganizationId>,
    filter: &ConnectionFilter,
    size: PageSize,
    after: Option<&Cursor>,
) -> Statement {
    let page = |sql| {
        Statement::new(sql)
            .bind(after.map_or("", Cursor::as_str))
            .bind_optional_text(organization)
            .bind_optional_text(filter.status)
            .bind(i64::from(size.get()) + 1)
    };
    match filter.named.as_deref() {
        None => page(LIST).named("sso.connection_list"),
        Some(name) => {
            page(LIST_NAMED).bind(name.trim()).bind(name_key(name)).named("sso.connection_list_named")
        }
    }
}
