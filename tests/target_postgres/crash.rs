//! Crash tests of target `postgres`: after any fault, and with concurrent loads, the next load leaves the database as loads without a fault
//! do; no row is duplicated or older.

mod concurrent;
mod killed;
mod messages;
mod order;
mod trouble;
