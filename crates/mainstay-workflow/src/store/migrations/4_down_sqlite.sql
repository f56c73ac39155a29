-- A baton becomes the task of the attempt that it stands for, the latest that was given out.
UPDATE wf_tasks SET (step, part, number) = (
  SELECT r.value ->> '$.fact.attempt.step',
    CASE r.value -> '$.fact.attempt.part' WHEN '"body"' THEN -1 WHEN '"items"' THEN -2 WHEN '"undo"' THEN -3
      ELSE r.value ->> '$.fact.attempt.part.item' END,
    r.value ->> '$.fact.attempt.number'
  FROM wf_history h, json_each(h.records) r
  WHERE h.run_id = wf_tasks.run_id AND r.value ->> '$.fact.is' = 'scheduled'
  ORDER BY h.seq DESC, r.key DESC LIMIT 1
) WHERE step = '' AND part = -1;
ALTER TABLE wf_tasks DROP COLUMN begun;

CREATE TABLE wf_history_old (
  run_id INTEGER NOT NULL,
  seq INTEGER NOT NULL CHECK (seq >= 0),
  records TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO wf_history_old (run_id, seq, records) SELECT run_id, seq, records FROM wf_history ORDER BY run_id, seq;
DROP TABLE wf_history;
ALTER TABLE wf_history_old RENAME TO wf_history;
