//! Holders: one row for each life of a node or process, and the only row that its heartbeat changes.

use std::time::Duration;

use mainstay_repo::{Sql, Statement};

use super::sql::{micros, sql};
use crate::ids::LifeId;

/// The old life may not be renewed any more, but what it claims stays until it has expired.
const SUPERSEDE: Sql = Sql::new("UPDATE images_holders SET live = 0 WHERE name = $1 AND live = 1");
const JOIN: Sql = sql![
    "INSERT INTO images_holders (name, live, expires_at, nonce) VALUES ($1, 1, " now " + $2, $3) RETURNING id"
];
const RENEW: Sql = sql![
    "UPDATE images_holders SET expires_at = " now " + $2 WHERE id = $1 AND nonce = $3 AND live = 1"
];
const GUARD: Sql = sql![
    "SELECT id FROM images_holders WHERE id = $1 AND nonce = $2 AND live = 1 AND expires_at > " now for_share
];
const OWN: Sql = sql!["SELECT id FROM images_holders WHERE id = $1 AND nonce = $2" for_update];
const EXPIRED: Sql = sql![
    "SELECT id, name FROM images_holders WHERE expires_at + $1 < " now " ORDER BY id LIMIT $2"
];
const REAP: Sql = sql!["DELETE FROM images_holders WHERE id = $1"];
const REAP_LOCK: Sql = sql![
    "SELECT id FROM images_holders WHERE id = $1 AND expires_at + $2 < " now for_update
];
const REVOKE: Sql = Sql::new("UPDATE images_holders SET live = 0 WHERE id = $1 AND live = 1");
const SUPERSEDE_ALL: Sql = Sql::new("UPDATE images_holders SET live = 0 WHERE live = 1");
const LIST: Sql = sql![
    "SELECT h.id, h.name, h.live, h.expires_at, h.expires_at > " now " AS fresh, \
     (SELECT COUNT(*) FROM images_leases l WHERE l.holder_id = h.id) AS leases, \
     (SELECT COUNT(*) FROM images_intents i WHERE i.holder_id = h.id) AS intents \
     FROM images_holders h WHERE h.id > $1 ORDER BY h.id LIMIT $2"
];
const ENDED: Sql = sql!["SELECT COUNT(*) AS ended FROM images_holders WHERE expires_at <= " now];
const FIND: Sql = sql![
    "SELECT h.id, h.name, h.live, h.expires_at, h.expires_at > " now " AS fresh, \
     (SELECT COUNT(*) FROM images_leases l WHERE l.holder_id = h.id) AS leases, \
     (SELECT COUNT(*) FROM images_intents i WHERE i.holder_id = h.id) AS intents \
     FROM images_holders h WHERE h.id = $1"
];

/// Ends the renewals of the present life of a name.
pub(crate) fn supersede(name: &str) -> Statement {
    Statement::new(SUPERSEDE).bind(name).named("images.holder_supersede")
}

/// Ends the renewals of one life.
pub(crate) fn revoke(id: i64) -> Statement {
    Statement::new(REVOKE).bind(id).named("images.holder_revoke")
}

/// Ends the renewals of every life: the database was restored.
pub(crate) fn supersede_all() -> Statement {
    Statement::new(SUPERSEDE_ALL).named("images.holder_supersede_all")
}

/// Begins a life of a name.
pub(crate) fn join(name: &str, ttl: Duration, nonce: i64) -> Statement {
    Statement::new(JOIN).bind(name).bind(micros(ttl)).bind(nonce).named("images.holder_join")
}

/// Moves the end of a life, and with it of all that it claims.
pub(crate) fn renew(life: LifeId, ttl: Duration) -> Statement {
    Statement::new(RENEW)
        .bind(life.number.get())
        .bind(micros(ttl))
        .bind(life.nonce)
        .named("images.holder_renew")
}

/// One row if the life may act; it stays so until the commit.
pub(crate) fn guard(life: LifeId) -> Statement {
    Statement::new(GUARD).bind(life.number.get()).bind(life.nonce).named("images.holder_guard")
}

/// One row if the life has a row, whether it may act or not; nobody else changes it until the commit.
pub(crate) fn own(life: LifeId) -> Statement {
    Statement::new(OWN).bind(life.number.get()).bind(life.nonce).named("images.holder_own")
}

/// Lives that ended so long ago that no clock's error can make them go on.
pub(crate) fn expired(margin: Duration, limit: u32) -> Statement {
    Statement::new(EXPIRED).bind(micros(margin)).bind(limit).named("images.holder_expired")
}

/// One row if a life has still ended; it stays so until the commit.
pub(crate) fn reap_lock(id: i64, margin: Duration) -> Statement {
    Statement::new(REAP_LOCK).bind(id).bind(micros(margin)).named("images.holder_reap_lock")
}

/// Forgets a life that claims nothing any more.
pub(crate) fn reap(id: i64) -> Statement {
    Statement::new(REAP).bind(id).named("images.holder_reap")
}

/// Lives behind one, the oldest first, with the number of their claims.
pub(crate) fn list(after: i64, limit: u32) -> Statement {
    Statement::new(LIST).bind(after).bind(limit).named("images.holder_list")
}

/// How many lives are over and not forgotten yet.
pub(crate) fn ended() -> Statement {
    Statement::new(ENDED).named("images.holder_ended")
}

/// One life with the number of its claims.
pub(crate) fn find(id: i64) -> Statement {
    Statement::new(FIND).bind(id).named("images.holder_find")
}
