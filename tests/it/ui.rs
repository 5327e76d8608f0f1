//! `ksit ui`: who sees what, how soon, and hostile texts.

mod access;
mod history;
mod kit;
mod views;
