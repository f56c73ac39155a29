//! Which part this node plays, how far its data has come, and what its database can do.

use serde::{Deserialize, Serialize};

/// A node's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Role {
    /// The only node there is; it reads and writes.
    Standalone,
    /// The node that writes.
    Primary,
    /// A node that reads; writes go to the primary.
    Replica {
        /// Where the primary is, if known.
        primary: Option<String>,
    },
    /// No node writes at the moment.
    NoPrimary,
}

/// How far a database has come: a sequence number that only means something within its lineage.
///
/// PostgreSQL: the system identifier and timeline, and the write-ahead log's position. SQLite alone: a number drawn when
/// the file was opened, and the commits since. Compare with [`Position::covers`], never the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which history the sequence belongs to.
    pub lineage: u64,
    /// How far in it.
    pub sequence: u64,
}

impl Position {
    /// Whether everything up to `other` is contained here; none when the two belong to different histories.
    #[must_use]
    pub const fn covers(self, other: Self) -> Option<bool> {
        if self.lineage == other.lineage { Some(self.sequence >= other.sequence) } else { None }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}/{}", self.lineage, self.sequence)
    }
}

/// What not every database can do. An operation that is offered everywhere means the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Several processes and machines may write.
    ManyWriters,
    /// `FOR UPDATE SKIP LOCKED` in a statement.
    SkipLocked,
    /// Equal statements of several callers become one ([`Sql::mergeable`](crate::Sql::mergeable)).
    MergedWrites,
    /// Tables live in a named schema.
    SchemaPrefix,
    /// A cap on the run time of low-priority statements.
    StatementCap,
}

/// Reports a node's part and position.
#[async_trait::async_trait]
pub trait Topology: Send + Sync {
    /// The part this node plays now.
    fn role(&self) -> Role;

    /// How far this node's data has come.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the database cannot be asked.
    async fn position(&self) -> crate::Result<Position>;

    /// Whether the database can do something that not every one can.
    fn has(&self, capability: Capability) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_compare_only_within_a_lineage() {
        let at = |lineage, sequence| Position { lineage, sequence };
        assert_eq!(at(1, 5).covers(at(1, 5)), Some(true));
        assert_eq!(at(1, 4).covers(at(1, 5)), Some(false));
        assert_eq!(at(2, 9).covers(at(1, 5)), None);
    }
}
