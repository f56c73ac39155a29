//! Pruning: a few rows at a time, found by an index, so that nobody waits for it.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_repo::{Sql, Statement};

use super::sql::{micros, sql};
use super::table::{IntentTable, ReplayTable};

const INTENTS: Sql = sql![
    "DELETE FROM sso_request_intents WHERE relay_state IN (SELECT relay_state FROM sso_request_intents \
     WHERE expires_at < " plus "$1" " ORDER BY expires_at LIMIT $2)"
];
const REPLAY_KEYS: Sql = sql![
    "DELETE FROM sso_replay_keys WHERE replay_key IN (SELECT replay_key FROM sso_replay_keys \
     WHERE expires_at < " plus "$1" " ORDER BY expires_at LIMIT $2)"
];
const SESSIONS: Sql = sql![
    "DELETE FROM sso_sessions WHERE token_hash IN (SELECT token_hash FROM sso_sessions \
     WHERE idle_expires_at < " plus "$1" " ORDER BY idle_expires_at LIMIT $2)"
];
const SETUP_TOKENS: Sql = sql![
    "DELETE FROM sso_setup_tokens WHERE token_hash IN (SELECT token_hash FROM sso_setup_tokens \
     WHERE expires_at < " plus "$1" " LIMIT $2)"
];
/// By the id, which begins with the time: the table needs no index for it.
const TRACES: Sql = Sql::new(
    "DELETE FROM sso_login_traces WHERE id IN (SELECT id FROM sso_login_traces WHERE id < $1 ORDER BY id LIMIT $2)",
);

fn older(sql: Sql, age: Duration, limit: i64, name: &'static str) -> Statement {
    Statement::new(sql).bind(-micros(age)).bind(limit).named(name)
}

/// Removes intents that expired so long ago.
pub(crate) fn intents(table: &IntentTable, age: Duration, limit: i64) -> Statement {
    older(table.statement(INTENTS), age, limit, "sso.prune_intents")
}

/// Removes replay keys whose assertions became invalid so long ago.
pub(crate) fn replay_keys(table: &ReplayTable, age: Duration, limit: i64) -> Statement {
    older(table.statement(REPLAY_KEYS), age, limit, "sso.prune_replay_keys")
}

/// Removes sessions that ended so long ago.
pub(crate) fn sessions(age: Duration, limit: i64) -> Statement {
    older(SESSIONS, age, limit, "sso.prune_sessions")
}

/// Removes setup tokens that expired so long ago.
pub(crate) fn setup_tokens(age: Duration, limit: i64) -> Statement {
    older(SETUP_TOKENS, age, limit, "sso.prune_setup_tokens")
}

/// Removes login traces from before an instant.
pub(crate) fn traces(before: Timestamp, limit: i64) -> Statement {
    // The smallest identifier of the instant: ten characters of time, then zeros.
    let first = format!("ltr_{}{}", ulid_time(before), "0".repeat(16));
    Statement::new(TRACES).bind(first).bind(limit).named("sso.prune_traces")
}

/// The ten characters with which every ULID of an instant begins.
fn ulid_time(at: Timestamp) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let millis = u64::try_from(at.as_unix_micros() / 1_000).unwrap_or(0);
    (0..10)
        .rev()
        .map(|place| {
            let digit = usize::try_from((millis >> (place * 5)) & 31).unwrap_or(0);
            DIGITS.get(digit).map_or('0', |octet| char::from(*octet))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TraceId;
    use mainstay_core::FixedClock;

    #[test]
    fn identifiers_of_an_instant_begin_with_its_time() {
        for seconds in [0, 1_750_000_000, 4_000_000_000] {
            let at = Timestamp::from_unix_seconds(seconds).unwrap();
            let id = TraceId::generate(&FixedClock::at(at)).to_string();
            assert!(id.starts_with(&format!("ltr_{}", ulid_time(at))), "{id}");
        }
    }
}
