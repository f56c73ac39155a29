//! What the tests stand on: browsers with and without a screen, running servers, forms in pages.

pub(crate) mod browser;
pub(crate) mod chromium;
pub(crate) mod host;
pub(crate) mod html;
pub(crate) mod server;
pub(crate) mod simplesamlphp;
