//! Whether the tables are there and can be read.

use mainstay_repo::{Sql, Statement};

use super::table::{IntentTable, ReplayTable};

const CORE: Sql = Sql::new(
    "SELECT EXISTS (SELECT 1 FROM sso_connections), EXISTS (SELECT 1 FROM sso_certificates), \
     EXISTS (SELECT 1 FROM sso_metadata_revisions), EXISTS (SELECT 1 FROM sso_login_traces), \
     EXISTS (SELECT 1 FROM sso_sessions), EXISTS (SELECT 1 FROM sso_administrators), \
     EXISTS (SELECT 1 FROM sso_setup_tokens), EXISTS (SELECT 1 FROM sso_audit_head), \
     EXISTS (SELECT 1 FROM sso_audit_events)",
);
const INTENTS: Sql = Sql::new("SELECT EXISTS (SELECT 1 FROM sso_request_intents)");
const REPLAY_KEYS: Sql = Sql::new("SELECT EXISTS (SELECT 1 FROM sso_replay_keys)");

/// Looks at one row of every table that is always in the database.
pub(crate) fn core() -> Statement {
    Statement::new(CORE).named("sso.probe_core")
}

/// Looks at one row of the table of intents.
pub(crate) fn intents(table: &IntentTable) -> Statement {
    Statement::new(table.statement(INTENTS)).named("sso.probe_intents")
}

/// Looks at one row of the table of replay keys.
pub(crate) fn replay_keys(table: &ReplayTable) -> Statement {
    Statement::new(table.statement(REPLAY_KEYS)).named("sso.probe_replay_keys")
}
