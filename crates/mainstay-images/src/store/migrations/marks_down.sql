ALTER TABLE images_findings DROP COLUMN unreadable;
ALTER TABLE images_leases DROP COLUMN mark;
ALTER TABLE images_intents DROP COLUMN mark;
