//! Tests against real API servers. One binary: it is linked once, and its tests share control planes.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic with its location")]

mod baseline;
mod chaos;
mod chart;
mod check_command;
mod cluster_profile;
mod crd_rules;
mod examples;
mod faults;
mod faulty_targets;
mod first_checks;
mod hostile;
mod hub_commands;
mod hub_errors;
mod kit;
mod lifecycle;
mod local_targets;
mod managed;
mod manifests;
mod notify;
mod own_identity;
mod own_kubeconfig;
mod own_type;
mod pod_reasons;
mod real_installs;
mod reflector;
mod replicas;
mod roll_up;
mod round_cost;
mod shared_hub;
mod status_writes;
mod takeover;
mod target_command;
mod token_renewal;
mod transport_faults;
mod ui;
mod unserved_crd;
mod versions;
mod watch;
