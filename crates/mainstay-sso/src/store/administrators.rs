//! Administrators: who may do what after signing in.

use mainstay_repo::{FromRow, Row, Sql, Statement};

use crate::ids::ConnectionId;
use crate::scope::OrganizationId;
use crate::session::Administrator;

const GRANT: Sql = Sql::new(
    "INSERT INTO sso_administrators (connection_id, name_id, role, organization_id, granted_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (connection_id, name_id) DO UPDATE \
     SET role = excluded.role, organization_id = excluded.organization_id, granted_at = excluded.granted_at",
);
const REVOKE: Sql = Sql::new("DELETE FROM sso_administrators WHERE connection_id = $1 AND name_id = $2");
const LIST: Sql = Sql::new(
    "SELECT a.* FROM sso_administrators a JOIN sso_connections c ON c.id = a.connection_id \
     WHERE CAST($1 AS text) IS NULL OR c.organization_id = CAST($1 AS text) ORDER BY a.connection_id, a.name_id \
     LIMIT 1000",
);

impl FromRow for Administrator {
    fn from_row(row: &Row) -> mainstay_repo::Result<Self> {
        Ok(Self {
            connection: row.parse("connection_id")?,
            name_id: row.get("name_id")?,
            role: row.parse("role")?,
            organization: row.parse_optional("organization_id")?,
            granted_at: row.get("granted_at")?,
        })
    }
}

/// Appoints somebody, or changes what they may do.
pub(crate) fn grant(administrator: &Administrator) -> Statement {
    Statement::new(GRANT)
        .bind_text(administrator.connection)
        .bind(&administrator.name_id)
        .bind_text(administrator.role)
        .bind_optional_text(administrator.organization.as_ref())
        .bind(administrator.granted_at)
        .named("sso.administrator_grant")
}

/// Dismisses somebody.
pub(crate) fn revoke(connection: ConnectionId, name_id: &str) -> Statement {
    Statement::new(REVOKE).bind_text(connection).bind(name_id).named("sso.administrator_revoke")
}

/// Everybody who was appointed, within an organization or everywhere.
pub(crate) fn list(organization: Option<&OrganizationId>) -> Statement {
    Statement::new(LIST).bind_optional_text(organization).named("sso.administrator_list")
}
