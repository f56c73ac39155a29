-- Who keeps a timer or a letter from the others for a while, and when it was due before: what a dead life held is given back as it was.
ALTER TABLE wf_timers ADD COLUMN held_by INTEGER;
ALTER TABLE wf_timers ADD COLUMN held_from INTEGER;
CREATE INDEX wf_timers_held_idx ON wf_timers (held_by) WHERE held_by IS NOT NULL;
ALTER TABLE wf_mail ADD COLUMN held_by INTEGER;
ALTER TABLE wf_mail ADD COLUMN held_from INTEGER;
CREATE INDEX wf_mail_held_idx ON wf_mail (held_by) WHERE held_by IS NOT NULL AND due IS NOT NULL;

-- What was kept for long enough is found by its end: identifiers follow the start, and those of runs from elsewhere not even that.
CREATE INDEX wf_runs_ended_idx ON wf_runs (namespace_id, ended_at) WHERE ended_at IS NOT NULL AND definition_id IS NOT NULL;
CREATE INDEX wf_runs_foreign_idx ON wf_runs (namespace_id, ended_at) WHERE ended_at IS NOT NULL AND definition_id IS NULL;

-- Of the contents that a version had, the one that it has; of the versions of a workflow, the one that a start gets which names none.
ALTER TABLE wf_definitions ADD COLUMN is_registered INTEGER NOT NULL DEFAULT 0 CHECK (is_registered IN (0, 1));
ALTER TABLE wf_definitions ADD COLUMN is_current INTEGER NOT NULL DEFAULT 0 CHECK (is_current IN (0, 1));
-- Where a version had several, it is the one that most open runs are pinned to; of equals the latest.
UPDATE wf_definitions SET is_registered = 1 WHERE id IN (SELECT id FROM (SELECT d.id, row_number() OVER (PARTITION BY d.namespace_id, d.name, d.version
  ORDER BY CASE WHEN (SELECT count(*) FROM wf_definitions e WHERE e.namespace_id = d.namespace_id AND e.name = d.name AND e.version = d.version) > 1
    THEN (SELECT count(*) FROM wf_runs r WHERE r.namespace_id = d.namespace_id AND r.workflow = d.name
      AND r.status IN ('running', 'waiting', 'paused', 'stopping') AND r.definition_id = d.id) ELSE 0 END DESC, d.id DESC) AS place
  FROM wf_definitions d) AS p WHERE place = 1);
CREATE UNIQUE INDEX wf_definitions_current_idx ON wf_definitions (namespace_id, name) WHERE is_current = 1;
CREATE UNIQUE INDEX wf_definitions_registered_idx ON wf_definitions (namespace_id, name, version) WHERE is_registered = 1;

-- An act that is about no run, or about one that is not kept any more: these go when they are old enough.
ALTER TABLE wf_acts ADD COLUMN detached INTEGER NOT NULL DEFAULT 0 CHECK (detached IN (0, 1));
UPDATE wf_acts SET detached = 1 WHERE run_id IS NULL
  OR NOT EXISTS (SELECT 1 FROM wf_runs r WHERE r.namespace_id = wf_acts.namespace_id AND r.id = wf_acts.run_id);
CREATE INDEX wf_acts_detached_idx ON wf_acts (namespace_id, id) WHERE detached = 1;

-- Earlier versions left terms of attributes that were replaced. Those of runs that are gone go now. What the others have is noted by the run,
-- where it is more than the run's document says, so that it goes with the run.
DELETE FROM wf_terms WHERE NOT EXISTS
  (SELECT 1 FROM wf_runs r WHERE r.namespace_id = wf_terms.namespace_id AND r.id = wf_terms.run_id);
CREATE TABLE wf_terms_before (
  run_id INTEGER NOT NULL,
  term INTEGER NOT NULL,
  PRIMARY KEY (run_id, term)
) STRICT, WITHOUT ROWID;
INSERT INTO wf_terms_before (run_id, term) SELECT t.run_id, t.term FROM wf_terms t WHERE t.run_id IN
  (SELECT c.run_id FROM wf_contexts c
    JOIN (SELECT run_id, count(*) AS terms, max(term = 0) AS is_everywhere FROM wf_terms GROUP BY run_id) AS h ON h.run_id = c.run_id
    WHERE json_type(c.context, '$.attributes') IS NOT NULL AND (h.is_everywhere OR h.terms >
      (SELECT count(*) FROM json_tree(c.context) j
        WHERE j.type IN ('true', 'false', 'integer', 'real', 'text') AND instr(j.fullkey, '[') = 0)));
