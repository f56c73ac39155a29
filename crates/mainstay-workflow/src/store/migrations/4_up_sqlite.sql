-- Records lie in the order in which they are written, and their places are an index beside them: many runs that go on in turn write one
-- page together, where a table in the order of the runs is written a page a run.
CREATE TABLE wf_history_new (
  run_id INTEGER NOT NULL,
  seq INTEGER NOT NULL CHECK (seq >= 0),
  records TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
) STRICT;
INSERT INTO wf_history_new (run_id, seq, records) SELECT run_id, seq, records FROM wf_history ORDER BY run_id, seq;
DROP TABLE wf_history;
ALTER TABLE wf_history_new RENAME TO wf_history;

-- Whether an attempt that follows a lost one has begun.
ALTER TABLE wf_tasks ADD COLUMN begun INTEGER NOT NULL DEFAULT 0 CHECK (begun IN (0, 1));
