CREATE TABLE server_nodes (
  id text COLLATE "C" NOT NULL PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('server', 'command')),
  place text NOT NULL,
  public_url text NOT NULL,
  dev_key text COLLATE "C",
  started_at timestamptz NOT NULL,
  seen_at timestamptz NOT NULL,
  CHECK (kind = 'server' OR dev_key IS NULL)
);

CREATE TABLE server_gate (
  id smallint NOT NULL PRIMARY KEY CHECK (id = 1),
  passed bigint NOT NULL
);
INSERT INTO server_gate (id, passed) VALUES (1, 0);
