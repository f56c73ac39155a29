//! The plain design: tables and statements as they are commonly written.

use mainstay_repo::{Component, Migration, Script, Sql};

/// Layers of each image.
pub const DEPTH: usize = 20;
/// Leases of each node.
pub const LEASES: usize = 200;

const CREATE: &str = "CREATE TABLE plain_blobs (id TEXT PRIMARY KEY, state TEXT NOT NULL, size BIGINT NOT NULL);
CREATE TABLE plain_images (id TEXT PRIMARY KEY);
CREATE TABLE plain_layers (image_id TEXT NOT NULL REFERENCES plain_images (id), position INTEGER NOT NULL,
  blob_id TEXT NOT NULL REFERENCES plain_blobs (id));
CREATE UNIQUE INDEX plain_layers_position ON plain_layers (image_id, position);
CREATE INDEX plain_layers_blob ON plain_layers (blob_id);
CREATE TABLE plain_leases (node_id TEXT NOT NULL, vm_id TEXT NOT NULL, image_id TEXT NOT NULL, expires_at BIGINT NOT NULL,
  PRIMARY KEY (node_id, vm_id));
CREATE INDEX plain_leases_expires_at ON plain_leases (expires_at);";

/// Its tables.
pub const COMPONENT: Component = Component {
    name: "plain",
    migrations: &[Migration {
        version: 1,
        name: "create plain",
        sqlite: Script::reversible(CREATE, "DROP TABLE plain_leases"),
        postgres: Script::reversible(CREATE, "DROP TABLE plain_leases"),
    }],
};

/// A chain by a join.
pub const RESOLVE: Sql = Sql::new(
    "SELECT b.id, b.size FROM plain_layers l JOIN plain_blobs b ON b.id = l.blob_id WHERE l.image_id = $1 ORDER BY l.position",
);
/// All leases of a node.
pub const RENEW: Sql = Sql::new("UPDATE plain_leases SET expires_at = expires_at + 1 WHERE node_id = $1");
