//! Target `postgres`: the table holds what the dataset holds.

mod crash;
mod function;
mod lanes;
mod modes;
mod refused;
mod tables;
mod trouble;
mod values;
mod verify;
