//! Tests through the public way in, against servers on this machine.

mod faults;
mod transport_faults;
