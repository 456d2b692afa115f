//! What tests stand on, of no subject in particular.

pub mod kill;
pub mod own_program;
pub mod port;
pub mod provision;
pub mod random;
pub mod running;
pub mod wait;
