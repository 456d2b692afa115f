//! The deployment, as far as it can be proven without an account: the templates read by AWS's own tools, and deployed to an emulator.

mod call;
mod checks;
mod deployed;
mod emulator;
mod events;
mod explained;
mod pattern;
mod template;
mod tools;

pub use emulator::{ACCOUNT, Emulator, REGION};
