//! Tests of workflows without a database: the same graph, rules and handlers in memory, under a clock that skips.
//!
//! ```
//! use mainstay_workflow::testing::{Crash, TestKit};
//! use mainstay_workflow::{Definition, Done, Handlers, Node, StartRequest, Status};
//! use serde_json::json;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let flow = Definition::new("reminder", 1)
//!     .node(Node::timer("nap", Duration::from_secs(86_400), "up").on("up", ["mail"]))
//!     .node(Node::task("mail", ["sent"]).on("sent", ["end"]))
//!     .done("end")
//!     .build()?;
//! let handlers = Handlers::new().handler("mail", async |_cx| Ok(Done::event("sent")));
//!
//! let mut kit = TestKit::builder().workflow(flow, handlers).build()?;
//! let run = kit.start(StartRequest::new("reminder", json!({"to": "ann"})))?;
//! kit.crash_at("mail", Crash::After); // the worker dies after the mail was sent and before anybody knows
//! assert_eq!(kit.run_to_end(run).await?, Status::Completed); // a day passes at once
//! assert_eq!(kit.attempts("mail"), 2, "an ordinary step may run again: key what it does");
//! # Ok(())
//! # }
//! ```

mod kit;
mod run;

pub use kit::{Crash, TestKit, TestKitBuilder};
