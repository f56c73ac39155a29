//! The code of the image store, held against its model.

mod expiry;
mod faults;
mod medium;
mod names;
mod power;
mod scenario;
mod schedule;
mod scrub;
mod steps;
mod world;
