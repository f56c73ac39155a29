//! JSON search that means the same on both databases, and uses an index on both.
