CREATE TABLE sso_request_intents (
  relay_state TEXT NOT NULL PRIMARY KEY,
  request_id TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  browser_hash BLOB NOT NULL,
  return_path TEXT NOT NULL,
  force_authn INTEGER NOT NULL CHECK (force_authn IN (0, 1)),
  issued_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  consumed_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sso_request_intents_expires_at_idx ON sso_request_intents (expires_at);
