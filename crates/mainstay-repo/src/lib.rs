//! One handle to a database chosen by URL: group-committed SQLite or PostgreSQL, middleware and migrations.
