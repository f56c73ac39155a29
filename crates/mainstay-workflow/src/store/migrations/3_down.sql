ALTER TABLE wf_definitions DROP COLUMN queues;
DROP TABLE wf_tags;
