//! The crash test of target `postgres`: whatever breaks at whatever moment, and whatever other loads run, running again ends in the same
//! state as a run without a fault, and no row is in the table twice or in an older version.

mod concurrent;
mod killed;
mod messages;
mod order;
mod trouble;
