CREATE TABLE wf_namespaces (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE CHECK (name <> '')
) STRICT;

CREATE TABLE wf_definitions (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  namespace_id INTEGER NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version > 0),
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 32),
  graph TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (namespace_id, name, version, fingerprint)
) STRICT;

CREATE TABLE wf_runs (
  namespace_id INTEGER NOT NULL,
  id INTEGER NOT NULL,
  definition_id INTEGER,
  workflow TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version > 0),
  business_key TEXT,
  token TEXT,
  status TEXT NOT NULL
    CHECK (status IN ('running', 'waiting', 'paused', 'stopping', 'completed', 'failed', 'cancelled')),
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  fairness TEXT,
  parent_id INTEGER,
  parent_attempt TEXT,
  telemetry TEXT,
  reason TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ended_at INTEGER,
  PRIMARY KEY (namespace_id, id),
  CHECK ((ended_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
  CHECK ((parent_id IS NULL) = (parent_attempt IS NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX wf_runs_token_idx ON wf_runs (namespace_id, token) WHERE token IS NOT NULL AND ended_at IS NULL;
CREATE INDEX wf_runs_status_idx ON wf_runs (namespace_id, status, id);
CREATE INDEX wf_runs_workflow_idx ON wf_runs (namespace_id, workflow, status, id);
CREATE INDEX wf_runs_key_idx ON wf_runs (namespace_id, business_key, id) WHERE business_key IS NOT NULL;
CREATE INDEX wf_runs_parent_idx ON wf_runs (namespace_id, parent_id, id) WHERE parent_id IS NOT NULL;

CREATE TABLE wf_contexts (
  run_id INTEGER NOT NULL PRIMARY KEY,
  context TEXT NOT NULL CHECK (json_valid(context))
) STRICT;
CREATE TABLE wf_terms (
  namespace_id INTEGER NOT NULL,
  term INTEGER NOT NULL,
  run_id INTEGER NOT NULL,
  PRIMARY KEY (namespace_id, term, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE wf_history (
  run_id INTEGER NOT NULL,
  seq INTEGER NOT NULL CHECK (seq >= 0),
  records TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE wf_snapshots (
  run_id INTEGER NOT NULL PRIMARY KEY,
  seq INTEGER NOT NULL,
  state TEXT NOT NULL
) STRICT;

CREATE TABLE wf_outputs (
  run_id INTEGER NOT NULL,
  step TEXT NOT NULL,
  kind INTEGER NOT NULL,
  item INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run_id, step, kind, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE wf_tasks (
  run_id INTEGER NOT NULL,
  step TEXT NOT NULL,
  part INTEGER NOT NULL,
  number INTEGER NOT NULL,
  namespace_id INTEGER NOT NULL,
  definition_id INTEGER NOT NULL,
  state INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3)),
  ready_at INTEGER NOT NULL,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  rank INTEGER NOT NULL,
  fairness TEXT,
  node_id INTEGER,
  revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
  PRIMARY KEY (run_id, step, part),
  CHECK ((state = 2) = (node_id IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX wf_tasks_delayed_idx ON wf_tasks (namespace_id, ready_at) WHERE state = 0;
CREATE INDEX wf_tasks_ready_idx ON wf_tasks (namespace_id, queue, priority, rank) WHERE state = 1;
CREATE INDEX wf_tasks_leased_idx ON wf_tasks (namespace_id, node_id, queue) WHERE state = 2;
CREATE INDEX wf_tasks_held_idx ON wf_tasks (namespace_id, definition_id) WHERE state = 3;

CREATE TABLE wf_timers (
  run_id INTEGER NOT NULL PRIMARY KEY,
  namespace_id INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX wf_timers_at_idx ON wf_timers (namespace_id, at);

CREATE TABLE wf_mail (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  namespace_id INTEGER NOT NULL,
  run_id INTEGER NOT NULL,
  sender TEXT,
  message TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  due INTEGER,
  letter INTEGER,
  CHECK (due IS NULL OR letter IS NULL)
) STRICT;
CREATE UNIQUE INDEX wf_mail_sender_idx ON wf_mail (run_id, sender) WHERE sender IS NOT NULL;
CREATE INDEX wf_mail_due_idx ON wf_mail (namespace_id, due) WHERE due IS NOT NULL;
CREATE INDEX wf_mail_run_idx ON wf_mail (run_id, id) WHERE due IS NOT NULL OR letter IS NOT NULL;

CREATE TABLE wf_nodes (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  namespace_id INTEGER NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  dead_at INTEGER
) STRICT;
CREATE INDEX wf_nodes_namespace_idx ON wf_nodes (namespace_id, dead_at);

CREATE TABLE wf_queues (
  namespace_id INTEGER NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  concurrency INTEGER CHECK (concurrency >= 0),
  rate INTEGER CHECK (rate > 0),
  period INTEGER CHECK (period > 0),
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  granted INTEGER NOT NULL DEFAULT 0,
  drawn_until INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (namespace_id, name),
  CHECK ((rate IS NULL) = (period IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE wf_fairness (
  namespace_id INTEGER NOT NULL,
  queue TEXT NOT NULL,
  fairness TEXT NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (namespace_id, queue, fairness)
) STRICT, WITHOUT ROWID;

CREATE TABLE wf_pauses (
  namespace_id INTEGER NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  workflow TEXT NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (namespace_id, workflow)
) STRICT, WITHOUT ROWID;

CREATE TABLE wf_schedules (
  namespace_id INTEGER NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  workflow TEXT NOT NULL,
  version INTEGER,
  plan TEXT NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  next_at INTEGER,
  last_at INTEGER,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (namespace_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX wf_schedules_next_idx ON wf_schedules (namespace_id, next_at) WHERE paused = 0 AND next_at IS NOT NULL;
