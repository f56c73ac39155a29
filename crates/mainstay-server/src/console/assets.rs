//! The stylesheet and the scripts: served from the binary, named by their content.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse, Response};
use http::header;
use mainstay_images::LINEAGE_STYLE;
use mainstay_workflow::render;

/// A file of the console.
pub(crate) struct Asset {
    path: &'static str,
    kind: &'static str,
    text: LazyLock<String>,
}

static STYLE: Asset = Asset {
    path: "/assets/mainstay.css",
    kind: "text/css; charset=utf-8",
    // Pictures bring their own rules, which may not stand in the page.
    text: LazyLock::new(|| {
        format!("{}\n{}\n{LINEAGE_STYLE}\n", include_str!("assets/mainstay.css"), render::STYLE)
    }),
};
static SUBMIT: Asset = Asset {
    path: "/assets/submit.js",
    kind: "text/javascript; charset=utf-8",
    text: LazyLock::new(|| include_str!("assets/submit.js").to_owned()),
};
static LIVE: Asset = Asset {
    path: "/assets/live.js",
    kind: "text/javascript; charset=utf-8",
    text: LazyLock::new(|| include_str!("assets/live.js").to_owned()),
};

static STYLE_URL: LazyLock<String> = LazyLock::new(|| STYLE.url());
static SUBMIT_URL: LazyLock<String> = LazyLock::new(|| SUBMIT.url());
static LIVE_URL: LazyLock<String> = LazyLock::new(|| LIVE.url());

/// The stylesheet's URL; another one after each change, so that it may be kept for ever.
pub(crate) fn style_url() -> &'static str {
    &STYLE_URL
}

/// The URL of the script that posts a page's form.
pub(crate) fn submit_url() -> &'static str {
    &SUBMIT_URL
}

/// The URL of the script that keeps a page fresh.
pub(crate) fn live_url() -> &'static str {
    &LIVE_URL
}

impl Asset {
    fn url(&self) -> String {
        let digest = digest(&SHA256, self.text.as_bytes());
        let version: String = digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{}?v={version}", self.path)
    }

    fn response(&'static self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        (headers, self.text.as_str()).into_response()
    }
}

pub(crate) async fn style() -> Response {
    STYLE.response()
}

pub(crate) async fn submit() -> Response {
    SUBMIT.response()
}

pub(crate) async fn live() -> Response {
    LIVE.response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Texts and the grounds that they stand on.
    const PAIRS: &[(&str, &[&str])] = &[
        ("text", &["ground", "panel", "sunken", "accent-soft"]),
        ("muted", &["ground", "panel", "sunken", "accent-soft"]),
        ("accent", &["ground", "panel", "accent-soft"]),
        ("accent-hover", &["ground", "panel"]),
        ("on-accent", &["accent", "accent-hover"]),
        ("good", &["good-soft"]),
        ("bad", &["bad-soft"]),
        ("warn", &["warn-soft"]),
        ("panel", &["bad"]),
    ];
    /// What WCAG 2.2 asks of text at level AA.
    const ENOUGH: f64 = 4.5;

    /// The colours of each `:root` block: the light theme, then what the dark one changes.
    fn themes() -> Vec<HashMap<String, [f64; 3]>> {
        let mut themes: Vec<HashMap<String, [f64; 3]>> = Vec::new();
        for block in STYLE.text.split(":root {").skip(1) {
            let mut theme = themes.last().cloned().unwrap_or_default();
            for line in block.split('}').next().unwrap().lines() {
                let Some((name, value)) =
                    line.trim().strip_prefix("--").and_then(|line| line.split_once(": #"))
                else {
                    continue;
                };
                let channel =
                    |at: usize| f64::from(u8::from_str_radix(&value[at..at + 2], 16).unwrap()) / 255.0;
                theme.insert(name.to_owned(), [channel(0), channel(2), channel(4)]);
            }
            themes.push(theme);
        }
        themes
    }

    fn luminance(colour: [f64; 3]) -> f64 {
        let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        let [red, green, blue] = colour.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    #[test]
    fn every_text_can_be_read_on_its_ground() {
        let themes = themes();
        assert_eq!(themes.len(), 2);
        for (theme, colours) in ["light", "dark"].iter().zip(&themes) {
            for (text, grounds) in PAIRS {
                for ground in *grounds {
                    let (one, two) = (luminance(colours[*text]), luminance(colours[*ground]));
                    let contrast = (one.max(two) + 0.05) / (one.min(two) + 0.05);
                    assert!(contrast >= ENOUGH, "{theme}: {text} on {ground} has {contrast:.2}");
                }
            }
        }
    }
}
