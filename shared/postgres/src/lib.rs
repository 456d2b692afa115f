//! A PostgreSQL server as sources and targets meet it: a connection with its TLS and timeouts, what can go wrong with it and what to do
//! then, and its types. It must never know what is read or written, or keep a password.
//!
//! The client library stops here: what others need of it they have from this crate.

mod advice;
mod fault;
mod name;
mod server;
mod session;
mod tls;
mod types;

pub use advice::{Action, Advice};
pub use fault::Fault;
pub use name::quoted;
pub use server::{is_row_error, server_message};
pub use session::Session;
pub use tokio_postgres::error::{DbError, SqlState};
pub use tokio_postgres::types::{ToSql, Type};
pub use tokio_postgres::{CopyInSink, CopyOutStream, Error as ClientError, Row};
pub use types::SqlType;
