//! The deployment, as far as it can be tested without an account: templates are checked by AWS's own tools and deployed to an emulator.

mod bundle;
mod call;
mod checks;
mod deploy;
mod deployed;
mod emulator;
mod events;
mod explained;
mod metrics;
mod order;
mod pattern;
mod roles;
mod template;
mod tools;
mod trouble;

pub use emulator::{ACCOUNT, Emulator, REGION};
