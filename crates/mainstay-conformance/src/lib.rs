//! One suite of behaviour that every database must pass.
