//! The deployment, as far as it can be tested without an account: templates are checked by AWS's own tools and deployed to an emulator.

mod checks;
mod deploy;
mod events;
mod explained;
mod metrics;
mod order;
mod roles;
mod trouble;
