CREATE TABLE images_acts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  -- The image that it was about. It may be gone since, so this is no reference.
  image BLOB CHECK (length(image) = 32),
  -- What else it was about: a name, a lease, a holder.
  subject TEXT
) STRICT;
CREATE INDEX images_acts_image_idx ON images_acts (image, id) WHERE image IS NOT NULL;
