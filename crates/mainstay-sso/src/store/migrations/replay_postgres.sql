CREATE TABLE sso_replay_keys (
  replay_key text COLLATE "C" NOT NULL PRIMARY KEY,
  trace_id text COLLATE "C" NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX sso_replay_keys_expires_at_idx ON sso_replay_keys (expires_at);
