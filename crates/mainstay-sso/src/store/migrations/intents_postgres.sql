CREATE TABLE sso_request_intents (
  relay_state text COLLATE "C" NOT NULL PRIMARY KEY,
  request_id text NOT NULL,
  connection_id text COLLATE "C" NOT NULL,
  browser_hash bytea NOT NULL,
  return_path text NOT NULL,
  force_authn boolean NOT NULL,
  issued_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  consumed_at timestamptz
);
CREATE INDEX sso_request_intents_expires_at_idx ON sso_request_intents (expires_at);
