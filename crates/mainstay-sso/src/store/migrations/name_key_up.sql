ALTER TABLE sso_connections ADD COLUMN name_key text NOT NULL DEFAULT '';
UPDATE sso_connections SET name_key = lower(display_name);
CREATE INDEX sso_connections_name_key_idx ON sso_connections (name_key, id);
