CREATE TABLE server_nodes (
  id TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('server', 'command')),
  place TEXT NOT NULL,
  public_url TEXT NOT NULL,
  dev_key TEXT,
  started_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  CHECK (kind = 'server' OR dev_key IS NULL)
) STRICT;

CREATE TABLE server_gate (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  passed INTEGER NOT NULL
) STRICT;
INSERT INTO server_gate (id, passed) VALUES (1, 0);
