-- What wakes a run says which definition the run is pinned to: a node looks for what it can move, and never meets the rest.
ALTER TABLE wf_timers ADD COLUMN definition_id bigint;
UPDATE wf_timers t SET definition_id = r.definition_id FROM wf_runs r WHERE r.namespace_id = t.namespace_id AND r.id = t.run_id;
DELETE FROM wf_timers WHERE definition_id IS NULL;
ALTER TABLE wf_timers ALTER COLUMN definition_id SET NOT NULL;
DROP INDEX wf_timers_at_idx;
CREATE INDEX wf_timers_at_idx ON wf_timers (definition_id, at);

-- None for a run that came from elsewhere, which nobody moves, and for what was read before: it does not become due again.
ALTER TABLE wf_mail ADD COLUMN definition_id bigint;
UPDATE wf_mail m SET definition_id = r.definition_id FROM wf_runs r
  WHERE r.namespace_id = m.namespace_id AND r.id = m.run_id AND m.due IS NOT NULL;
DROP INDEX wf_mail_due_idx;
CREATE INDEX wf_mail_due_idx ON wf_mail (definition_id, due) WHERE due IS NOT NULL;
