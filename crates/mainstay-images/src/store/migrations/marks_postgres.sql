-- Which transaction of its holder made the row: one whose answer was lost is found by it.
ALTER TABLE images_intents ADD COLUMN mark bigint;
ALTER TABLE images_leases ADD COLUMN mark bigint;
