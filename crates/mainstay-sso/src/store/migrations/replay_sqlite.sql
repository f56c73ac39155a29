CREATE TABLE sso_replay_keys (
  replay_key TEXT NOT NULL PRIMARY KEY,
  trace_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sso_replay_keys_expires_at_idx ON sso_replay_keys (expires_at);
