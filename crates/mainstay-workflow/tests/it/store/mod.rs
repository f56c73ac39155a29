//! The store on both databases: one list of behaviour.

mod fairness;
mod limits;
mod mail;
mod migrations;
mod moves;
mod queues;
mod search;
mod starts;
mod support;
mod work;
