//! The deployment, as far as it can be proven without an account: the templates read by AWS's own tools, and deployed to an emulator.

mod call;
mod deployed;
mod emulator;
mod tools;
