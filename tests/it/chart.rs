//! The chart: its rendered objects, a real API server's answer to them, and least privilege.

mod dashboard;
pub mod helm;
mod manifests;
mod metrics;
mod opt_in_rights;
mod pods;
mod priority;
mod release;
mod rights;
mod rules;
mod schemas;
mod secret_watch;
mod target_rights;
mod values;
