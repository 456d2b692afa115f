//! Where rows come from. Each kind of source turns what it finds into raw frames, and knows nothing of the lake.

pub mod files;
pub mod http;
