//! What is deleted: the pure plans and the collector.

mod facts;

pub use facts::ImageFacts;
