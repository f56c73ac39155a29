-- Which transaction of its holder made the row: one whose answer was lost is found by it.
ALTER TABLE images_intents ADD COLUMN mark INTEGER;
ALTER TABLE images_leases ADD COLUMN mark INTEGER;

-- What the system said of a file that could not be read; none of one that is missing, or wrong.
ALTER TABLE images_findings ADD COLUMN unreadable TEXT;
