CREATE TABLE wf_acts (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  namespace_id INTEGER NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL CHECK (actor <> ''),
  action TEXT NOT NULL,
  run_id INTEGER,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL CHECK (json_valid(detail))
) STRICT;
CREATE INDEX wf_acts_namespace_idx ON wf_acts (namespace_id, id);
CREATE INDEX wf_acts_run_idx ON wf_acts (namespace_id, run_id, id) WHERE run_id IS NOT NULL;
