//! Mainstay, the durable core of a control plane, as one library: each crate under its own name.
//!
//! Take single crates where you need only one of them; take this one for all of them at versions that fit together. The binary
//! `mainstay` of the same package is the server and the command line.
//!
//! ```
//! use mainstay::repo::{Component, Migration, Repo, Script, Statement, Target};
//!
//! const NOTES: Component = Component {
//!     name: "notes",
//!     migrations: &[Migration {
//!         version: 1,
//!         name: "create notes",
//!         sqlite: Script::reversible("CREATE TABLE notes (body TEXT NOT NULL) STRICT", "DROP TABLE notes"),
//!         postgres: Script::reversible("CREATE TABLE notes (body text NOT NULL)", "DROP TABLE notes"),
//!     }],
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let url = format!("sqlite://{}/app.db", directory.path().display());
//! let repo = Repo::connect(&url).await?; // a file today, postgres://… tomorrow
//! repo.migrator().migrate(&NOTES, Target::Latest).await?;
//! repo.migrator().migrate(&mainstay::sso::COMPONENT, Target::Latest).await?; // sign-in, in the same database
//! repo.write(Statement::new("INSERT INTO notes (body) VALUES ($1)").bind("buy tea")).await?;
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

#[doc(inline)]
pub use mainstay_core as core;
#[doc(inline)]
pub use mainstay_images as images;
#[doc(inline)]
pub use mainstay_repo as repo;
#[doc(inline)]
pub use mainstay_saml as saml;
#[doc(inline)]
pub use mainstay_server as server;
#[doc(inline)]
pub use mainstay_sso as sso;
#[doc(inline)]
pub use mainstay_workflow as workflow;
