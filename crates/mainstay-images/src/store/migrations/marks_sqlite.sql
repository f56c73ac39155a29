-- Which transaction of its holder made the row: one whose answer was lost is found by it.
ALTER TABLE images_intents ADD COLUMN mark INTEGER;
ALTER TABLE images_leases ADD COLUMN mark INTEGER;
