CREATE TABLE images_store (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  uuid TEXT NOT NULL,
  -- The sizes of all blobs, so that a quota is one row to look at.
  bytes INTEGER NOT NULL DEFAULT 0,
  -- The directory was made once: from then on a directory without a marker is not mounted.
  prepared INTEGER NOT NULL DEFAULT 0 CHECK (prepared IN (0, 1)),
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE images_holders (
  -- Also the epoch: a name that is taken over gets a new row, and numbers are never given twice.
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  live INTEGER NOT NULL CHECK (live IN (0, 1)),
  expires_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX images_holders_live_key ON images_holders (name) WHERE live = 1;

CREATE TABLE images_blobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
  kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
  media_type TEXT NOT NULL,
  size INTEGER NOT NULL CHECK (size >= 0),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  -- Which publication's file it is; and that which made the row.
  inc INTEGER NOT NULL,
  first_inc INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  verified_at INTEGER,
  UNIQUE (id, kind)
) STRICT;
CREATE INDEX images_blobs_state_idx ON images_blobs (id) WHERE state <> 0;

CREATE TABLE images (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
  chain_id BLOB CHECK (length(chain_id) = 32),
  parent_id INTEGER REFERENCES images (id) ON DELETE RESTRICT,
  kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
  media_type TEXT NOT NULL,
  depth INTEGER NOT NULL CHECK (depth BETWEEN 0 AND 128),
  -- The layers' digests and sizes, packed: a checked copy, so that resolving reads one row.
  chain BLOB NOT NULL CHECK (length(chain) = depth * 40),
  size INTEGER NOT NULL CHECK (size >= 0),
  label TEXT,
  pinned INTEGER NOT NULL CHECK (pinned IN (0, 1)),
  created_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL,
  CHECK (parent_id <> id),
  -- Only an index or an artefact may do without layers.
  CHECK (kind > 0 OR depth > 0),
  CHECK ((depth = 0) = (chain_id IS NULL))
) STRICT;
CREATE INDEX images_chain_id_idx ON images (chain_id);
CREATE INDEX images_parent_id_idx ON images (parent_id);

CREATE TABLE images_layers (
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE RESTRICT,
  position INTEGER NOT NULL CHECK (position BETWEEN 0 AND 127),
  below INTEGER,
  kind INTEGER NOT NULL,
  blob_id INTEGER NOT NULL,
  PRIMARY KEY (image_id, position),
  -- A base lies at the bottom and nowhere else, a delta never there, a document in no chain.
  CHECK ((kind = 0 AND position = 0) OR (kind = 1 AND position > 0) OR kind = 2),
  CHECK (CASE WHEN position = 0 THEN below IS NULL ELSE below IS NOT NULL AND below = position - 1 END),
  -- No gaps: the layer below must be there.
  FOREIGN KEY (image_id, below) REFERENCES images_layers (image_id, position),
  FOREIGN KEY (blob_id, kind) REFERENCES images_blobs (id, kind) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
CREATE INDEX images_layers_blob_id_idx ON images_layers (blob_id, kind);
CREATE INDEX images_layers_below_idx ON images_layers (image_id, below);

CREATE TABLE images_attachments (
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE RESTRICT,
  role TEXT NOT NULL,
  blob_id INTEGER NOT NULL REFERENCES images_blobs (id) ON DELETE RESTRICT,
  PRIMARY KEY (image_id, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX images_attachments_blob_id_idx ON images_attachments (blob_id);

CREATE TABLE images_refs (
  name TEXT NOT NULL PRIMARY KEY,
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE RESTRICT,
  forked_from BLOB,
  version INTEGER NOT NULL CHECK (version > 0),
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX images_refs_image_id_idx ON images_refs (image_id);

CREATE TABLE images_leases (
  token INTEGER PRIMARY KEY AUTOINCREMENT,
  holder_id INTEGER NOT NULL REFERENCES images_holders (id) ON DELETE RESTRICT,
  key TEXT NOT NULL,
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE RESTRICT,
  since INTEGER NOT NULL,
  UNIQUE (holder_id, key)
) STRICT;
CREATE INDEX images_leases_image_id_idx ON images_leases (image_id);

CREATE TABLE images_intents (
  inc INTEGER PRIMARY KEY AUTOINCREMENT,
  holder_id INTEGER NOT NULL REFERENCES images_holders (id) ON DELETE RESTRICT,
  digest BLOB CHECK (length(digest) = 32),
  -- Octets that are kept free for it.
  size INTEGER NOT NULL CHECK (size >= 0),
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX images_intents_digest_idx ON images_intents (digest);
CREATE INDEX images_intents_holder_id_idx ON images_intents (holder_id);

CREATE TABLE images_gc_queue (
  blob_id INTEGER PRIMARY KEY REFERENCES images_blobs (id) ON DELETE CASCADE,
  review_after INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX images_gc_queue_review_after_idx ON images_gc_queue (review_after, blob_id);

CREATE TABLE images_collector (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  holder TEXT,
  token INTEGER NOT NULL,
  until INTEGER NOT NULL,
  off_until INTEGER NOT NULL,
  lineage INTEGER
) STRICT;

CREATE TABLE images_gc_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  holder TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  report TEXT NOT NULL
) STRICT;

CREATE TABLE images_scrub (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  -- The last digest that was read in the present pass; none between passes.
  cursor BLOB,
  started_at INTEGER,
  ended_at INTEGER,
  checked INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  damaged INTEGER NOT NULL
) STRICT;
