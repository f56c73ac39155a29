//! Types that every Mainstay crate shares. No I/O, no async runtime, no SQL.
//!
//! * [`Timestamp`]: an instant in UTC microseconds, the only time that is stored.
//! * [`Clock`]: where an instant comes from; a parameter, so that a test decides what time it is.
//! * [`Secret`]: a value that never shows in logs.
//! * [`typed_id!`](crate::typed_id): identifiers that cannot be mixed up.
//! * [`Caller`]: who asks for something, and how much they may do.
//! * [`Page`] and [`Cursor`]: keyset pages.
//!
//! ```
//! use mainstay_core::{Clock, FixedClock, Timestamp};
//!
//! mainstay_core::typed_id! {
//!     /// Names one order.
//!     pub struct OrderId("ord");
//! }
//!
//! let clock = FixedClock::at(Timestamp::from_unix_seconds(1_750_000_000).unwrap());
//! let id = OrderId::generate(&clock);
//! assert_eq!(id.to_string().parse::<OrderId>().unwrap(), id);
//! assert!(id.to_string().starts_with("ord_"));
//! ```

#![deny(missing_docs)]

mod caller;
mod clock;
mod id;
mod page;
mod secret;
mod timestamp;

pub use caller::{Actor, ActorError, Caller, Denied, MAX_ACTOR_CHARS, Role, UnknownRole};
pub use clock::{Clock, FixedClock, SystemClock};
pub use id::{IdError, Ulid};
#[doc(hidden)]
pub use id::{new_ulid, parse_id};
pub use page::{Cursor, Page, PageSize};
pub use secret::{REDACTED, Secret};
pub use timestamp::{Timestamp, TimestampError};

#[doc(hidden)]
pub use serde as __serde;
