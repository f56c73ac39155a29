//! Derive macros of mainstay-repo.
