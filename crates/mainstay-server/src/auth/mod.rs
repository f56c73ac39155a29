//! Cookies, form tokens, the session of a request, and who asks by it.

pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod operator;
pub(crate) mod session;
