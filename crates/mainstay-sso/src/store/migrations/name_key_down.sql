DROP INDEX sso_connections_name_key_idx;
ALTER TABLE sso_connections DROP COLUMN name_key;
