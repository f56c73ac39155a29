CREATE TABLE sso_connections (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  display_name text NOT NULL,
  organization_id text COLLATE "C",
  status text NOT NULL CHECK (status IN ('draft', 'enabled', 'disabled')),
  preset text NOT NULL,
  sp_entity_id text COLLATE "C" NOT NULL,
  acs_url text NOT NULL,
  idp_entity_id text COLLATE "C",
  idp_sso_url text,
  policy jsonb NOT NULL,
  request jsonb NOT NULL,
  lock_version bigint NOT NULL CHECK (lock_version > 0),
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE INDEX sso_connections_organization_id_idx ON sso_connections (organization_id, id);

CREATE TABLE sso_certificates (
  connection_id text COLLATE "C" NOT NULL REFERENCES sso_connections (id) ON DELETE CASCADE,
  fingerprint text COLLATE "C" NOT NULL CHECK (length(fingerprint) = 64),
  pem text NOT NULL,
  state text NOT NULL CHECK (state IN ('next', 'active', 'retired')),
  subject text NOT NULL,
  not_before timestamptz NOT NULL,
  not_after timestamptz NOT NULL,
  source text NOT NULL,
  staged_at timestamptz NOT NULL,
  activated_at timestamptz,
  retired_at timestamptz,
  PRIMARY KEY (connection_id, fingerprint)
);

CREATE TABLE sso_metadata_revisions (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  connection_id text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('applied', 'unchanged', 'held', 'rejected')),
  problem text,
  xml text NOT NULL,
  sha256 text NOT NULL,
  entity_id text COLLATE "C",
  sso_url text,
  fingerprints jsonb NOT NULL,
  source text NOT NULL,
  actor text NOT NULL,
  cause text NOT NULL
);
CREATE INDEX sso_metadata_revisions_connection_id_idx ON sso_metadata_revisions (connection_id, id);

CREATE TABLE sso_login_traces (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  at timestamptz NOT NULL,
  connection_id text COLLATE "C",
  organization_id text COLLATE "C",
  flow text NOT NULL CHECK (flow IN ('sp_initiated', 'idp_initiated', 'unknown')),
  outcome text NOT NULL CHECK (outcome IN ('succeeded', 'refused')),
  refusal text,
  expected text,
  actual text,
  correlation_id text COLLATE "C",
  name_id text COLLATE "C",
  issuer text,
  checks jsonb NOT NULL,
  CHECK ((outcome = 'refused') = (refusal IS NOT NULL))
);
CREATE INDEX sso_login_traces_connection_id_idx ON sso_login_traces (connection_id, id);

CREATE TABLE sso_sessions (
  token_hash bytea NOT NULL PRIMARY KEY,
  id text COLLATE "C" NOT NULL,
  kind text NOT NULL CHECK (kind IN ('saml', 'setup')),
  name_id text COLLATE "C" NOT NULL,
  principal jsonb NOT NULL,
  role text CHECK (role IN ('read', 'write', 'admin')),
  connection_id text COLLATE "C",
  organization_id text COLLATE "C",
  session_index text,
  created_at timestamptz NOT NULL,
  idle_expires_at timestamptz NOT NULL,
  absolute_expires_at timestamptz NOT NULL,
  revoked_at timestamptz,
  CHECK (idle_expires_at <= absolute_expires_at),
  CHECK ((kind = 'saml') = (connection_id IS NOT NULL))
);
CREATE UNIQUE INDEX sso_sessions_id_key ON sso_sessions (id);
CREATE INDEX sso_sessions_connection_id_idx ON sso_sessions (connection_id, session_index);
CREATE INDEX sso_sessions_idle_expires_at_idx ON sso_sessions (idle_expires_at);

CREATE TABLE sso_administrators (
  connection_id text COLLATE "C" NOT NULL REFERENCES sso_connections (id) ON DELETE CASCADE,
  name_id text COLLATE "C" NOT NULL,
  role text NOT NULL CHECK (role IN ('read', 'write', 'admin')),
  organization_id text COLLATE "C",
  granted_at timestamptz NOT NULL,
  PRIMARY KEY (connection_id, name_id)
);

CREATE TABLE sso_setup_tokens (
  token_hash bytea NOT NULL PRIMARY KEY,
  issued_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  consumed_at timestamptz
);

CREATE TABLE sso_audit_head (
  id smallint NOT NULL PRIMARY KEY CHECK (id = 1),
  seq bigint NOT NULL,
  hash bytea NOT NULL CHECK (length(hash) = 32)
);
INSERT INTO sso_audit_head (id, seq, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE sso_audit_events (
  seq bigint NOT NULL PRIMARY KEY,
  id text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL,
  action text NOT NULL,
  connection_id text COLLATE "C",
  organization_id text COLLATE "C",
  actor text NOT NULL CHECK (actor <> ''),
  cause text NOT NULL CHECK (cause <> ''),
  details text NOT NULL,
  previous_hash bytea NOT NULL CHECK (length(previous_hash) = 32),
  hash bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE UNIQUE INDEX sso_audit_events_id_key ON sso_audit_events (id);
CREATE INDEX sso_audit_events_connection_id_idx ON sso_audit_events (connection_id, seq);

CREATE FUNCTION sso_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit events are append-only';
END $$;
CREATE TRIGGER sso_audit_events_no_change BEFORE UPDATE OR DELETE ON sso_audit_events
FOR EACH ROW EXECUTE FUNCTION sso_audit_refuse();
CREATE TRIGGER sso_audit_events_no_truncate BEFORE TRUNCATE ON sso_audit_events
FOR EACH STATEMENT EXECUTE FUNCTION sso_audit_refuse();
CREATE FUNCTION sso_audit_successor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM sso_audit_head WHERE id = 1 AND seq = NEW.seq AND hash = NEW.hash)
     OR EXISTS (SELECT 1 FROM sso_audit_events WHERE seq >= NEW.seq) THEN
    RAISE EXCEPTION 'audit events are append-only';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER sso_audit_events_successor BEFORE INSERT ON sso_audit_events
FOR EACH ROW EXECUTE FUNCTION sso_audit_successor();
CREATE TRIGGER sso_audit_head_no_delete BEFORE DELETE ON sso_audit_head
FOR EACH ROW EXECUTE FUNCTION sso_audit_refuse();
CREATE TRIGGER sso_audit_head_no_truncate BEFORE TRUNCATE ON sso_audit_head
FOR EACH STATEMENT EXECUTE FUNCTION sso_audit_refuse();
CREATE FUNCTION sso_audit_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.seq <> OLD.seq + 1 THEN
    RAISE EXCEPTION 'the audit head only moves forward';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER sso_audit_head_forward BEFORE UPDATE ON sso_audit_head
FOR EACH ROW EXECUTE FUNCTION sso_audit_forward();
