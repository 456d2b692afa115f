//! A PostgreSQL server as a source or a target meets it: the connection and its TLS, what can go wrong with it, and its types. It must
//! never know what is read or written.

pub mod fault;
pub mod session;
pub mod types;
