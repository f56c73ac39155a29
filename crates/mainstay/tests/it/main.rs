//! The `mainstay` binary from outside: commands, pages, and logins with real identity providers and a real browser.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test says that something is not as it should be"
)]

mod cli;
mod dev_sign_in;
mod e2e_chromium;
mod e2e_simplesamlphp;
mod fetch;
mod http;
mod images;
mod images_api;
mod images_book;
mod images_browser;
mod images_doctor;
mod images_registry;
mod lifecycle;
mod logs;
mod other_provider;
mod ready;
mod single_node;
mod support;
mod tls;
mod traces;
mod workflow_browser;
mod workflow_console;
mod workflow_settings;
mod workflows;
