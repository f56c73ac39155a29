-- What wakes a run says which definition the run is pinned to: a node looks for what it can move, and never meets the rest. None for a run
-- that came from elsewhere, which nobody moves, for what was read before, as it does not become due again, and for what a node of an older
-- version writes: that is added afterwards.
ALTER TABLE wf_timers ADD COLUMN definition_id INTEGER;
DELETE FROM wf_timers WHERE NOT EXISTS (SELECT 1 FROM wf_runs r WHERE r.namespace_id = wf_timers.namespace_id AND r.id = wf_timers.run_id);
UPDATE wf_timers SET definition_id = (SELECT r.definition_id FROM wf_runs r WHERE r.namespace_id = wf_timers.namespace_id AND r.id = wf_timers.run_id);
DROP INDEX wf_timers_at_idx;
CREATE INDEX wf_timers_at_idx ON wf_timers (definition_id, at);

ALTER TABLE wf_mail ADD COLUMN definition_id INTEGER;
UPDATE wf_mail SET definition_id = (SELECT r.definition_id FROM wf_runs r WHERE r.namespace_id = wf_mail.namespace_id AND r.id = wf_mail.run_id)
  WHERE due IS NOT NULL;
DROP INDEX wf_mail_due_idx;
CREATE INDEX wf_mail_due_idx ON wf_mail (definition_id, due) WHERE due IS NOT NULL;

-- What was taken back stands before everything else in its queue.
UPDATE wf_tasks SET priority = -32768, rank = -1 WHERE revoked AND state <> 2;
