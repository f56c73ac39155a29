//! What is deleted, what is kept and why: the pure plans, and the collector that carries them out.
//!
//! ```text
//! collect.tombstone → collect.unlink → collect.forget          rows that nothing uses
//! collect.resume    → collect.unlink → collect.forget          rows that another collector left marked
//! sweep.list → sweep.check → sweep.unlink                      files that nothing names
//! ```

mod collect;
mod doomed;
pub mod evict;
mod facts;
mod files;
mod pace;
pub(crate) mod process;
mod reap;
mod reclaim;
mod restore;
mod sweep;
mod usage;

pub use collect::{CollectOptions, CollectReport, CollectRun, Collecting};
pub use doomed::Plan;
pub use facts::ImageFacts;
pub(crate) use pace::Pace;
pub use pace::{MAX_REST, Tranquility};
pub use usage::{ImageUsage, Usage, Uses, usage};
