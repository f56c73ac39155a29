-- Whether an attempt that follows a lost one has begun.
ALTER TABLE wf_tasks ADD COLUMN begun boolean NOT NULL DEFAULT false;
