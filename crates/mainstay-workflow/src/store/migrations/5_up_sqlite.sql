-- What wakes a run says which definition the run is pinned to: a node looks for what it can move, and never meets the rest.
CREATE TABLE wf_timers_new (
  run_id INTEGER NOT NULL PRIMARY KEY,
  namespace_id INTEGER NOT NULL,
  definition_id INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;
INSERT INTO wf_timers_new (run_id, namespace_id, definition_id, at) SELECT t.run_id, t.namespace_id, r.definition_id, t.at
  FROM wf_timers t JOIN wf_runs r ON r.namespace_id = t.namespace_id AND r.id = t.run_id WHERE r.definition_id IS NOT NULL;
DROP TABLE wf_timers;
ALTER TABLE wf_timers_new RENAME TO wf_timers;
CREATE INDEX wf_timers_at_idx ON wf_timers (definition_id, at);

-- None for a run that came from elsewhere, which nobody moves, and for what was read before: it does not become due again.
ALTER TABLE wf_mail ADD COLUMN definition_id INTEGER;
UPDATE wf_mail SET definition_id = (SELECT r.definition_id FROM wf_runs r WHERE r.namespace_id = wf_mail.namespace_id AND r.id = wf_mail.run_id)
  WHERE due IS NOT NULL;
DROP INDEX wf_mail_due_idx;
CREATE INDEX wf_mail_due_idx ON wf_mail (definition_id, due) WHERE due IS NOT NULL;
