-- Random, and given once: a number that is given again after a restore does not make another life out of a new one.
ALTER TABLE images_holders ADD COLUMN nonce bigint NOT NULL DEFAULT 0;

-- The turn in which the collector's process was written: what an earlier one left says nothing of the present one.
ALTER TABLE images_collector ADD COLUMN process_token bigint;
