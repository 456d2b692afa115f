//! A client for what a test itself wants to know: one connection, one request, from threads and from runtimes alike.

use std::future::Future;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};

/// Values as the server writes them.
pub type Rows = Vec<Vec<Option<String>>>;

/// Apart from the runtimes of those who ask, so that nobody waits for himself.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

pub fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    runtime().spawn(async move { sender.send(future.await) });
    receiver.recv().unwrap()
}

/// The rows of one statement or more, sent as one message; of those that give none there are none.
pub fn ask(url: &str, sql: &str) -> Result<Rows, Error> {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    wait(async move {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        let driven = tokio::spawn(connection);
        let answer = client.simple_query(&sql).await;
        drop(client);
        // until the server has been told that this is the end
        let _ = driven.await;
        Ok(answer?.into_iter().filter_map(row).collect())
    })
}

fn row(message: SimpleQueryMessage) -> Option<Vec<Option<String>>> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
}

/// A connection that stays, for what it holds.
pub struct Session(Arc<Client>);

impl Session {
    pub fn open(url: &str) -> Session {
        let url = url.to_owned();
        Session(wait(async move {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            tokio::spawn(connection);
            Arc::new(client)
        }))
    }

    /// Until it is answered.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        let (client, text) = (self.0.clone(), sql.to_owned());
        wait(async move { client.batch_execute(&text).await }).unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    }
}
