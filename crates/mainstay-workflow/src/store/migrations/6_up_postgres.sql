-- What was kept for long enough is found by its end: identifiers follow the start, and those of runs from elsewhere not even that.
CREATE INDEX wf_runs_ended_idx ON wf_runs (namespace_id, ended_at) WHERE ended_at IS NOT NULL AND definition_id IS NOT NULL;
CREATE INDEX wf_runs_foreign_idx ON wf_runs (namespace_id, ended_at) WHERE ended_at IS NOT NULL AND definition_id IS NULL;

-- Of the contents that a version had, the one that it has; of the versions of a workflow, the one that a start gets which names none.
ALTER TABLE wf_definitions ADD COLUMN is_registered boolean NOT NULL DEFAULT false;
ALTER TABLE wf_definitions ADD COLUMN is_current boolean NOT NULL DEFAULT false;
-- Where a version had several, it is the one that most open runs are pinned to; of equals the latest.
UPDATE wf_definitions SET is_registered = true WHERE id IN (SELECT id FROM (SELECT d.id, row_number() OVER (PARTITION BY d.namespace_id, d.name, d.version
  ORDER BY CASE WHEN (SELECT count(*) FROM wf_definitions e WHERE e.namespace_id = d.namespace_id AND e.name = d.name AND e.version = d.version) > 1
    THEN (SELECT count(*) FROM wf_runs r WHERE r.namespace_id = d.namespace_id AND r.workflow = d.name
      AND r.status IN ('running', 'waiting', 'paused', 'stopping') AND r.definition_id = d.id) ELSE 0 END DESC, d.id DESC) AS place
  FROM wf_definitions d) AS p WHERE place = 1);
CREATE UNIQUE INDEX wf_definitions_current_idx ON wf_definitions (namespace_id, name) WHERE is_current;
CREATE UNIQUE INDEX wf_definitions_registered_idx ON wf_definitions (namespace_id, name, version) WHERE is_registered;

-- An act that is about no run, or about one that is not kept any more: these go when they are old enough.
ALTER TABLE wf_acts ADD COLUMN detached boolean NOT NULL DEFAULT false;
UPDATE wf_acts a SET detached = true WHERE run_id IS NULL
  OR NOT EXISTS (SELECT 1 FROM wf_runs r WHERE r.namespace_id = a.namespace_id AND r.id = a.run_id);
CREATE INDEX wf_acts_detached_idx ON wf_acts (namespace_id, id) WHERE detached;

-- Who keeps a timer or a letter from the others for a while, and when it was due before: what a dead life held is given back as it was.
ALTER TABLE wf_timers ADD COLUMN held_by bigint, ADD COLUMN held_from timestamptz;
CREATE INDEX wf_timers_held_idx ON wf_timers (held_by) WHERE held_by IS NOT NULL;
ALTER TABLE wf_mail ADD COLUMN held_by bigint, ADD COLUMN held_from timestamptz;
CREATE INDEX wf_mail_held_idx ON wf_mail (held_by) WHERE held_by IS NOT NULL AND due IS NOT NULL;
