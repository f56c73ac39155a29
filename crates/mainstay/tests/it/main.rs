//! The tests of the `mainstay` binary.
