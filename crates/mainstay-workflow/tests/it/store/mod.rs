//! The store on both databases: one list of behaviour.

mod acts;
mod against_model;
mod beside;
mod control;
mod fairness;
mod held;
mod import;
mod limits;
mod mail;
mod migrations;
mod model;
mod moves;
mod plans;
mod queues;
mod schedules;
mod search;
mod starts;
mod support;
mod tags;
mod upgrade;
mod work;
