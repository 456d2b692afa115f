//! The source `http`, by the real command, over a real API: pages of every kind, time, who may, and whatever goes wrong on the way.

mod crash;
mod deadline;
mod function;
mod kills;
mod new;
mod pages;
mod public;
mod time;
mod trouble;
mod who;
