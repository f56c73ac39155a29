//! The code of the image store, held against its model.

mod expiry;
mod faults;
mod medium;
mod power;
mod scenario;
mod schedule;
mod steps;
mod world;
