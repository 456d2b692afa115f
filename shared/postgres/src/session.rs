//! A connection to a server, with a timeout for every answer.

use std::cell::OnceCell;
use std::error::Error;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tidemark_pipeline::postgres::Address;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, CopyInSink, CopyOutStream, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::fault::Fault;
use crate::tls::client_config;

/// One connection. Its runtime has one worker thread, so that data is sent while the caller prepares more.
pub struct Session {
    client: Client,
    runtime: Runtime,
    connection: JoinHandle<()>,
    tls: MakeRustlsConnect,
    timeout: Duration,
    schema: OnceCell<String>,
    version: u32,
}

/// Time allowed for closing a connection when its session is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

impl Drop for Session {
    /// Closes the connection before the runtime ends. Otherwise the server would log that the client disconnected unexpectedly.
    fn drop(&mut self) {
        self.client.__private_api_close();
        let ended = &mut self.connection;
        let _ = self.runtime.block_on(async { tokio::time::timeout(CLOSE_TIMEOUT, ended).await });
    }
}

impl Session {
    /// Connects without running a statement. `timeout` limits connecting, and each answer of the server afterwards.
    ///
    /// # Errors
    /// [`Fault::Unreachable`], [`Fault::Tls`], [`Fault::Certificates`], [`Fault::ReadOnly`], [`Fault::NoPassword`], or the server's own
    /// error.
    pub fn open(address: &Address, password: Option<&str>, timeout: Duration) -> Result<Session, Fault> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Fault::Unreachable(error.into()))?;
        let (mode, trust) = client_config(address)?;
        let tls = MakeRustlsConnect::new(trust);
        let mut config = config(address);
        config.ssl_mode(mode);
        if let Some(password) = password {
            config.password(password);
        }
        let connected = runtime.block_on(async { tokio::time::timeout(timeout, config.connect(tls.clone())).await });
        let (client, connection) = connected.map_err(|_| Fault::Timeout(timeout))?.map_err(unreachable)?;
        let version =
            connection.parameter("server_version").and_then(|text| text.split(['.', ' ']).next()?.parse().ok());
        let connection = runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = error.to_string(), "the connection to a database ended");
            }
        });
        Ok(Session {
            client,
            runtime,
            connection,
            tls,
            timeout,
            schema: OnceCell::new(),
            version: version.unwrap_or(0),
        })
    }

    /// Major version of the server: 16 for 16.2; 0 if the server does not report one.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Waits for an answer. If it does not arrive within the timeout, the statement is cancelled, so that the server releases its locks.
    pub fn wait<T, E: Into<Fault>>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, Fault> {
        let answered = self.runtime.block_on(async { tokio::time::timeout(self.timeout, answer).await });
        match answered {
            Ok(answer) => answer.map_err(E::into),
            Err(_) => {
                let token = self.client.cancel_token();
                let cancel = token.cancel_query(self.tls.clone());
                let _ = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(2), cancel).await });
                Err(Fault::Timeout(self.timeout))
            }
        }
    }

    /// The schema of tables that are named without one: they are created there, and looked up only there. Queried once per session.
    pub fn schema(&self) -> Result<&str, Fault> {
        if let Some(schema) = self.schema.get() {
            return Ok(schema);
        }
        let rows = self.rows("SELECT coalesce(current_schema(), 'public')::text", &[])?;
        let schema = rows.first().map_or(Ok("public".to_owned()), |row| row.try_get(0))?;
        Ok(self.schema.get_or_init(|| schema))
    }

    /// The rows of a query, in one round trip.
    pub fn rows(&self, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Fault> {
        self.wait(self.client.query_typed(sql, values))
    }

    /// Runs statements without values, in one round trip.
    pub fn run(&self, sql: &str) -> Result<(), Fault> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Runs one statement and returns the number of rows that it changed.
    pub fn change(&self, sql: &str) -> Result<u64, Fault> {
        self.wait(self.client.execute_typed(sql, &[]))
    }

    /// Begins a `COPY … FROM STDIN`.
    pub fn copy_in(&self, sql: &str) -> Result<CopyInSink<Bytes>, Fault> {
        self.wait(self.client.copy_in(sql))
    }

    /// Begins a `COPY … TO STDOUT`.
    pub fn copy_out(&self, sql: &str) -> Result<CopyOutStream, Fault> {
        self.wait(self.client.copy_out(sql))
    }
}

fn unreachable(error: tokio_postgres::Error) -> Fault {
    match error.as_db_error() {
        Some(_) => error.into(),
        // the kinds of errors are not public, so the text is all there is to go by
        None if error.to_string().starts_with("error performing TLS handshake") => match cause(error) {
            broken if is_broken(broken.as_ref()) => Fault::Lost(broken),
            cause => Fault::Tls(cause),
        },
        None if error.source().is_some_and(|cause| cause.to_string() == "password missing") => Fault::NoPassword,
        None if error.to_string().starts_with("error connecting") => {
            let cause = cause(error);
            match cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
                // the client library's error if no host satisfies `target_session_attrs`
                Some(std::io::ErrorKind::PermissionDenied) => Fault::ReadOnly(cause),
                _ => Fault::Unreachable(cause),
            }
        }
        None => error.into(),
    }
}

/// Whether the connection broke, as opposed to a certificate that is not trusted.
fn is_broken(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind.is_some_and(|kind| [BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof].contains(&kind))
}

fn cause(error: tokio_postgres::Error) -> Box<dyn Error + Send + Sync> {
    error.into_source().unwrap_or_else(|| "no reason given".into())
}

fn config(address: &Address) -> Config {
    let mut config = Config::new();
    for host in &address.hosts {
        config.host(&host.name).port(host.port);
    }
    config.dbname(&address.database).application_name(address.application_name.as_deref().unwrap_or("tidemark"));
    if let Some(user) = &address.user {
        config.user(user);
    }
    if let Some(options) = &address.options {
        config.options(options);
    }
    if address.read_write {
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    }
    config
        .connect_timeout(Duration::from_secs(address.connect_timeout_s.unwrap_or(10).into()))
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3);
    config
}
