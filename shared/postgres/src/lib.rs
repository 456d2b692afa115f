//! Access to a PostgreSQL server for sources and targets: a connection with TLS and timeouts, errors with advice, and column types. This
//! crate does not know what is read or written, and never keeps a password.
//!
//! No other crate uses the client library directly; the types they need are re-exported here.

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
