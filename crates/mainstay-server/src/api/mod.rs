//! The HTTP interface under `/api/v1`. Its types are its own, so that a change inside does not change them by accident.

mod described;
pub(crate) mod images;
pub(crate) mod me;
pub(crate) mod openapi;
pub(crate) mod operate;
mod place;
pub(crate) mod runs;
pub(crate) mod settings;
