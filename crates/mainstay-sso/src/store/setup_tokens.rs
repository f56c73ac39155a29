//! Setup tokens.

use std::time::Duration;

use mainstay_repo::{Sql, Statement};

use super::sql::{micros, sql};

const INSERT: Sql = sql![
    "INSERT INTO sso_setup_tokens (token_hash, issued_at, expires_at) VALUES ($1, " now ", " plus "$2" ")"
];
const CONSUME: Sql = sql![
    "UPDATE sso_setup_tokens SET consumed_at = " now
    " WHERE token_hash = $1 AND consumed_at IS NULL AND expires_at > " now
];
const STATE: Sql = sql![
    "SELECT consumed_at IS NOT NULL AS consumed, expires_at <= " now " AS expired \
     FROM sso_setup_tokens WHERE token_hash = $1"
];

/// Adds a token.
pub(crate) fn insert(token_hash: &[u8], ttl: Duration) -> Statement {
    Statement::new(INSERT).bind(token_hash).bind(micros(ttl)).named("sso.setup_token_insert")
}

/// Uses a token up; one row only when it is neither used nor expired.
pub(crate) fn consume(token_hash: &[u8]) -> Statement {
    Statement::new(CONSUME).bind(token_hash).named("sso.setup_token_consume")
}

/// Whether a token is used or expired.
pub(crate) fn state(token_hash: &[u8]) -> Statement {
    Statement::new(STATE).bind(token_hash).named("sso.setup_token_state")
}
