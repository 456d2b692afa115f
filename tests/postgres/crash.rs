//! The crash test of target `postgres`: whatever breaks, and whenever, and whoever else loads, running again ends where a run without
//! fault ends, and nothing is in the table twice or older than it was.

mod bench;
mod concurrent;
mod killed;
mod messages;
mod order;
mod scenario;
mod trouble;
