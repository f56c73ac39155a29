//! OCI images in and out.

#![allow(dead_code, unused_imports, reason = "grows")]

mod content;
mod copy;
pub mod document;
pub mod error;
pub mod flatten;
mod graph;
mod layer;
pub mod layout;
pub mod limits;
pub mod media;
pub mod progress;
pub mod reference;
pub mod refusal;
pub mod registry;
mod tar;
mod tee;
