//! Errors of a connection or a statement. The detail field of a server's error may contain values of a row, so it is never passed on.

use std::error::Error;
use std::time::Duration;

use tokio_postgres::error::DbError;

use crate::advice::{Action, Advice};
use crate::server;

/// Why a connection or a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    #[error("no encrypted connection to the server can be established")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
    #[error("the certificate file {file} cannot be read")]
    Certificates { file: String, source: Box<dyn Error + Send + Sync> },
    #[error("no host accepts writes")]
    ReadOnly(#[source] Box<dyn Error + Send + Sync>),
    #[error("the server requires a password, but none is configured")]
    NoPassword,
    #[error("the connection was lost")]
    Lost(#[source] Box<dyn Error + Send + Sync>),
    #[error("the server did not respond for {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("{}", server::server_message(.0))]
    Server(Box<DbError>),
    #[error("the server sent an invalid response")]
    Protocol(#[source] Box<dyn Error + Send + Sync>),
}

impl Fault {
    /// Whether the error is transient: a retry may succeed shortly without intervention.
    pub fn is_transient(&self) -> bool {
        match self {
            Fault::Unreachable(_) | Fault::Lost(_) => true,
            Fault::Server(error) => server::is_transient(error.code()),
            _ => false,
        }
    }

    /// The server's own error, if it is one.
    pub fn server(&self) -> Option<&DbError> {
        match self {
            Fault::Server(error) => Some(error),
            _ => None,
        }
    }

    /// Advice on how to resolve the error.
    pub fn advice(&self) -> Advice {
        let (action, hint) = match self {
            Fault::Unreachable(_) => {
                (Action::RunAgain, "check host and port, and that this machine may connect to them; then run again")
            }
            Fault::Tls(_) => (
                Action::Correct,
                "set sslrootcert to a file with the authority of the server's certificate, and use the host name of the \
                 certificate; or choose another sslmode",
            ),
            Fault::ReadOnly(_) => {
                (Action::RunAgain, "add the host of the primary, or run again when one of the hosts accepts writes")
            }
            Fault::NoPassword => (Action::Correct, "set `password` to the name of a secret"),
            Fault::Certificates { .. } => (Action::Correct, "set sslrootcert to a file of PEM certificates"),
            Fault::Lost(_) => (Action::RunAgain, "run again"),
            Fault::Timeout(_) => (Action::RunAgain, "run again; if a statement takes this long, increase its timeout"),
            Fault::Server(error) => return server::advice(error),
            Fault::Protocol(_) => (Action::Correct, "check that a PostgreSQL server listens there"),
        };
        Advice::new(action, hint)
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        if let Some(server) = error.as_db_error() {
            return Fault::Server(Box::new(server.clone()));
        }
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<std::io::Error>() {
                break;
            }
            cause = error.source();
        }
        match error.is_closed() || cause.is_some() {
            true => Fault::Lost(error.into()),
            false => Fault::Protocol(error.into()),
        }
    }
}
