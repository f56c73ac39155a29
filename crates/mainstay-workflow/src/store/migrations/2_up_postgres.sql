CREATE TABLE wf_acts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace_id bigint NOT NULL REFERENCES wf_namespaces (id) ON DELETE CASCADE,
  at timestamptz NOT NULL,
  actor text COLLATE "C" NOT NULL CHECK (actor <> ''),
  action text COLLATE "C" NOT NULL,
  run_id bigint,
  subject text COLLATE "C" NOT NULL,
  detail text NOT NULL CHECK (detail::jsonb IS NOT NULL)
);
CREATE INDEX wf_acts_namespace_idx ON wf_acts (namespace_id, id);
CREATE INDEX wf_acts_run_idx ON wf_acts (namespace_id, run_id, id) WHERE run_id IS NOT NULL;
