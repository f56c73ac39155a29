CREATE TABLE wf_tags (
  namespace_id INTEGER NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  tag TEXT NOT NULL,
  definition_id INTEGER NOT NULL REFERENCES wf_definitions (id) ON DELETE CASCADE,
  workflow TEXT NOT NULL,
  PRIMARY KEY (namespace_id, tag, definition_id)
) STRICT, WITHOUT ROWID;
INSERT INTO wf_tags (namespace_id, tag, definition_id, workflow)
  SELECT d.namespace_id, t.value, d.id, d.name FROM wf_definitions d, json_each(d.graph, '$.tags') t;

ALTER TABLE wf_definitions ADD COLUMN queues TEXT CHECK (json_valid(queues));
