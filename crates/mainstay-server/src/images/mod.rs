//! Images as the surface tells of them: opening the store that a configuration names, the documents, work in the background, and
//! archives on their way in and out.

mod asked;
pub mod document;
mod error;
mod report;
mod room;
mod store;
mod transfer;
mod work;

pub use asked::is_layered;
pub(crate) use asked::{Changes, LEASE_HEADER, Looks};
pub(crate) use report::Reports;
pub(crate) use store::collect_for_ever;
pub use store::{ImageStore, image_options, open_images};
pub(crate) use transfer::{Transfers, is_transfer};
pub use work::FailureLine;
pub(crate) use work::Work;
