//! Worlds in which everything that can go wrong does: a model that tries every order of messages, and a simulation
//! that tries a thousand of the endless ones.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod coordinator;
mod faults;
mod hub;
mod invariants;
mod model;
mod replica;
mod world;
