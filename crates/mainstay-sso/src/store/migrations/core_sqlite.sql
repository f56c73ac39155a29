CREATE TABLE sso_connections (
  id TEXT NOT NULL PRIMARY KEY,
  display_name TEXT NOT NULL,
  organization_id TEXT,
  status TEXT NOT NULL CHECK (status IN ('draft', 'enabled', 'disabled')),
  preset TEXT NOT NULL,
  sp_entity_id TEXT NOT NULL,
  acs_url TEXT NOT NULL,
  idp_entity_id TEXT,
  idp_sso_url TEXT,
  policy TEXT NOT NULL CHECK (json_valid(policy)),
  request TEXT NOT NULL CHECK (json_valid(request)),
  lock_version INTEGER NOT NULL CHECK (lock_version > 0),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sso_connections_organization_id_idx ON sso_connections (organization_id, id);

CREATE TABLE sso_certificates (
  connection_id TEXT NOT NULL REFERENCES sso_connections (id) ON DELETE CASCADE,
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 64),
  pem TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('next', 'active', 'retired')),
  subject TEXT NOT NULL,
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  source TEXT NOT NULL,
  staged_at INTEGER NOT NULL,
  activated_at INTEGER,
  retired_at INTEGER,
  PRIMARY KEY (connection_id, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE sso_metadata_revisions (
  id TEXT NOT NULL PRIMARY KEY,
  connection_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('applied', 'unchanged', 'held', 'rejected')),
  problem TEXT,
  xml TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  entity_id TEXT,
  sso_url TEXT,
  fingerprints TEXT NOT NULL CHECK (json_valid(fingerprints)),
  source TEXT NOT NULL,
  actor TEXT NOT NULL,
  cause TEXT NOT NULL
) STRICT;
CREATE INDEX sso_metadata_revisions_connection_id_idx ON sso_metadata_revisions (connection_id, id);

CREATE TABLE sso_login_traces (
  id TEXT NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  connection_id TEXT,
  organization_id TEXT,
  flow TEXT NOT NULL CHECK (flow IN ('sp_initiated', 'idp_initiated', 'unknown')),
  outcome TEXT NOT NULL CHECK (outcome IN ('succeeded', 'refused')),
  refusal TEXT,
  expected TEXT,
  actual TEXT,
  correlation_id TEXT,
  name_id TEXT,
  issuer TEXT,
  checks TEXT NOT NULL CHECK (json_valid(checks)),
  CHECK ((outcome = 'refused') = (refusal IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX sso_login_traces_connection_id_idx ON sso_login_traces (connection_id, id);

CREATE TABLE sso_sessions (
  token_hash BLOB NOT NULL PRIMARY KEY,
  id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('saml', 'setup')),
  name_id TEXT NOT NULL,
  principal TEXT NOT NULL CHECK (json_valid(principal)),
  role TEXT CHECK (role IN ('read', 'write', 'admin')),
  connection_id TEXT,
  organization_id TEXT,
  session_index TEXT,
  created_at INTEGER NOT NULL,
  idle_expires_at INTEGER NOT NULL,
  absolute_expires_at INTEGER NOT NULL,
  revoked_at INTEGER,
  CHECK (idle_expires_at <= absolute_expires_at),
  CHECK ((kind = 'saml') = (connection_id IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sso_sessions_id_key ON sso_sessions (id);
CREATE INDEX sso_sessions_connection_id_idx ON sso_sessions (connection_id, session_index);
CREATE INDEX sso_sessions_idle_expires_at_idx ON sso_sessions (idle_expires_at);

CREATE TABLE sso_administrators (
  connection_id TEXT NOT NULL REFERENCES sso_connections (id) ON DELETE CASCADE,
  name_id TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('read', 'write', 'admin')),
  organization_id TEXT,
  granted_at INTEGER NOT NULL,
  PRIMARY KEY (connection_id, name_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sso_setup_tokens (
  token_hash BLOB NOT NULL PRIMARY KEY,
  issued_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  consumed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sso_audit_head (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO sso_audit_head (id, seq, hash) VALUES (1, 0, zeroblob(32));

CREATE TABLE sso_audit_events (
  seq INTEGER NOT NULL PRIMARY KEY,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  action TEXT NOT NULL,
  connection_id TEXT,
  organization_id TEXT,
  actor TEXT NOT NULL CHECK (actor <> ''),
  cause TEXT NOT NULL CHECK (cause <> ''),
  details TEXT NOT NULL,
  previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE UNIQUE INDEX sso_audit_events_id_key ON sso_audit_events (id);
CREATE INDEX sso_audit_events_connection_id_idx ON sso_audit_events (connection_id, seq);

CREATE TRIGGER sso_audit_events_no_update BEFORE UPDATE ON sso_audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END;
CREATE TRIGGER sso_audit_events_no_delete BEFORE DELETE ON sso_audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END;
-- INSERT OR REPLACE deletes without firing the trigger above, so an insert may only follow the head.
CREATE TRIGGER sso_audit_events_successor BEFORE INSERT ON sso_audit_events
WHEN NOT EXISTS (SELECT 1 FROM sso_audit_head WHERE id = 1 AND seq = NEW.seq AND hash = NEW.hash)
  OR EXISTS (SELECT 1 FROM sso_audit_events WHERE seq >= NEW.seq OR id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END;
CREATE TRIGGER sso_audit_head_no_delete BEFORE DELETE ON sso_audit_head
BEGIN SELECT RAISE(ABORT, 'the audit head only moves forward'); END;
CREATE TRIGGER sso_audit_head_forward BEFORE UPDATE ON sso_audit_head
WHEN NEW.seq <> OLD.seq + 1
BEGIN SELECT RAISE(ABORT, 'the audit head only moves forward'); END;
CREATE TRIGGER sso_audit_head_single BEFORE INSERT ON sso_audit_head
WHEN EXISTS (SELECT 1 FROM sso_audit_head)
BEGIN SELECT RAISE(ABORT, 'the audit head only moves forward'); END;
