ALTER TABLE images_collector DROP COLUMN process;
ALTER TABLE images_collector DROP COLUMN place;
DROP TABLE images_findings;
DROP TABLE images_scrub_runs;
