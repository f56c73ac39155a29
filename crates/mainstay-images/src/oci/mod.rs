//! OCI images in and out.

#![allow(dead_code, unused_imports, reason = "grows")]

pub mod document;
pub mod error;
pub mod flatten;
mod layer;
pub mod limits;
pub mod media;
pub mod progress;
pub mod reference;
pub mod refusal;
mod tar;
