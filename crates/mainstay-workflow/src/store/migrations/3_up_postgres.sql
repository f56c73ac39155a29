CREATE TABLE wf_tags (
  namespace_id bigint NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  tag text COLLATE "C" NOT NULL,
  definition_id bigint NOT NULL REFERENCES wf_definitions (id) ON DELETE CASCADE,
  workflow text COLLATE "C" NOT NULL,
  PRIMARY KEY (namespace_id, tag, definition_id)
);
INSERT INTO wf_tags (namespace_id, tag, definition_id, workflow)
  SELECT d.namespace_id, t.value, d.id, d.name FROM wf_definitions d
  CROSS JOIN LATERAL jsonb_array_elements_text(COALESCE(d.graph::jsonb -> 'tags', '[]'::jsonb)) AS t (value);

ALTER TABLE wf_definitions ADD COLUMN queues text;
