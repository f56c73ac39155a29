//! Cookies, form tokens and the session of a request.

pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod session;
