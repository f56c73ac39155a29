//! The stylesheet and the one script: served from the binary, named by their content.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse, Response};
use http::header;

/// A file of the console.
pub(crate) struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const STYLE: Asset = Asset {
    path: "/assets/mainstay.css",
    kind: "text/css; charset=utf-8",
    text: include_str!("assets/mainstay.css"),
};
const SUBMIT: Asset = Asset {
    path: "/assets/submit.js",
    kind: "text/javascript; charset=utf-8",
    text: include_str!("assets/submit.js"),
};

static STYLE_URL: LazyLock<String> = LazyLock::new(|| STYLE.url());
static SUBMIT_URL: LazyLock<String> = LazyLock::new(|| SUBMIT.url());

/// The stylesheet's URL; another one after each change, so that it may be kept for ever.
pub(crate) fn style_url() -> &'static str {
    &STYLE_URL
}

/// The URL of the script that posts a page's form.
pub(crate) fn submit_url() -> &'static str {
    &SUBMIT_URL
}

impl Asset {
    fn url(&self) -> String {
        let digest = digest(&SHA256, self.text.as_bytes());
        let version: String = digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{}?v={version}", self.path)
    }

    fn response(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        (headers, self.text).into_response()
    }
}

pub(crate) async fn style() -> Response {
    STYLE.response()
}

pub(crate) async fn submit() -> Response {
    SUBMIT.response()
}
