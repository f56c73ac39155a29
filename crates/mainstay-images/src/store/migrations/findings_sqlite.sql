CREATE TABLE images_scrub_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  checked INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  damaged INTEGER NOT NULL
) STRICT;

-- What was found missing or wrong. The blob may be gone since, so this is no reference.
CREATE TABLE images_findings (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  found_at INTEGER NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  inc INTEGER NOT NULL,
  size INTEGER NOT NULL,
  -- The file is not there (1), or holds other octets (2).
  what INTEGER NOT NULL CHECK (what IN (1, 2))
) STRICT;

-- The process that collects: where it is known to be gone, its turn need not run out.
ALTER TABLE images_collector ADD COLUMN place TEXT;
ALTER TABLE images_collector ADD COLUMN process TEXT;
