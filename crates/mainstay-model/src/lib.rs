//! Models of Mainstay's protocols, explored state by state.
//!
//! | what | where |
//! |---|---|
//! | the checker: every reachable state, the shortest way to a bad one | [`check`] |
//! | the image store: publish, collect, sweep, leases, eviction, crashes, power loss | [`images`] |
//!
//! A model is only worth something if it can fail: each protocol comes with variants that lack one of its parts, and the tests demand
//! that the checker finds the way to disaster in every one of them. What is modelled, with which bounds and with what result, is told
//! in `docs/image-gc-model.md` of the repository.

#![deny(missing_docs)]
#![allow(
    clippy::indexing_slicing,
    reason = "a state is a handful of small arrays; an index out of range is an error of the model and must stop its test"
)]

pub mod check;
pub mod images;
