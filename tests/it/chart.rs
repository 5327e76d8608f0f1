//! The chart: what it renders, what an API server says to that, and that ksit needs all of its rights and no others.

mod dashboard;
mod helm;
mod manifests;
mod metrics;
mod pods;
mod priority;
mod release;
mod rights;
mod rules;
mod schemas;
mod secret_watch;
mod target_rights;
mod values;
