DROP INDEX wf_mail_due_idx;
ALTER TABLE wf_mail DROP COLUMN definition_id;
CREATE INDEX wf_mail_due_idx ON wf_mail (namespace_id, due) WHERE due IS NOT NULL;

DROP INDEX wf_timers_at_idx;
ALTER TABLE wf_timers DROP COLUMN definition_id;
CREATE INDEX wf_timers_at_idx ON wf_timers (namespace_id, at);
