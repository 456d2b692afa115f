//! A store that fails as real ones do: at its n-th call, in one of a few named ways.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How long a process lets another one run ahead. No verdict depends on whether the other is done by then: both must end as they should.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An error, and nothing was done.
    ErrorBefore,
    /// It was done, and the reply was lost.
    ErrorAfter,
    /// It takes its time.
    Slow,
    /// The body is cut off without an error.
    TruncatedBody,
    /// The process dies before the call: this and every later one fails.
    GoneBefore,
    /// The process dies after the call.
    GoneAfter,
    /// Before the call, another process does all it has to do (see [`Plan::meanwhile`]).
    Overtaken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Get,
    Head,
    List,
    Put,
    Copy,
    Delete,
}

impl Call {
    /// The faults that can occur in a call of this kind; for one that changes nothing, before and after are the same.
    pub fn faults(self) -> &'static [Fault] {
        use Fault::*;
        match self {
            Call::Get => &[ErrorBefore, Slow, TruncatedBody, GoneBefore, Overtaken],
            Call::Head | Call::List => &[ErrorBefore, Slow, GoneBefore, Overtaken],
            Call::Put | Call::Copy | Call::Delete => &[ErrorBefore, ErrorAfter, Slow, GoneBefore, GoneAfter, Overtaken],
        }
    }
}

/// What happens to the calls of one process, over all its stores.
#[derive(Debug, Default)]
pub struct Plan {
    fault: Option<(Aim, Fault)>,
    calls: Mutex<Vec<(Call, String)>>,
    /// Calls so far that the fault can befall.
    eligible: AtomicUsize,
    hits: AtomicU64,
    /// Number (among all calls) of the first call with the fault.
    hit: Mutex<Option<usize>>,
    gone: AtomicBool,
    meanwhile: Mutex<Meanwhile>,
}

/// What another process does, before and after it has begun.
#[derive(Default)]
enum Meanwhile {
    #[default]
    Nothing,
    Waits(Box<dyn FnOnce() + Send>),
    Began(JoinHandle<()>),
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("meanwhile")
    }
}

#[derive(Debug, Clone)]
pub enum Aim {
    /// The n-th of the calls that the fault can befall, from 0.
    Nth(usize),
    /// The first call of a kind to an object with this in its path.
    Object(Call, &'static str),
}

/// What a call is to do.
enum Order {
    Go,
    FailBefore(Error),
    FailAfter(Error),
    Truncate,
    Wait,
}

impl Plan {
    /// Only counts.
    pub fn clean() -> Arc<Plan> {
        Arc::new(Plan::default())
    }

    pub fn new(aim: Aim, fault: Fault) -> Arc<Plan> {
        Arc::new(Plan { fault: Some((aim, fault)), ..Plan::default() })
    }

    /// What another process does when [`Fault::Overtaken`] befalls.
    pub fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Meanwhile::Waits(Box::new(act));
    }

    /// Waits until the other process, if one has begun, is done, and panics if it did.
    pub fn join(&self) {
        let meanwhile = std::mem::take(&mut *self.meanwhile.lock().unwrap());
        if let Meanwhile::Began(other) = meanwhile {
            other.join().unwrap();
        }
    }

    /// Lets the other process run to its end, with a time limit, because it may wait for a lock that this one holds.
    fn give_way(&self) {
        let mut meanwhile = self.meanwhile.lock().unwrap();
        if let Meanwhile::Waits(act) = std::mem::take(&mut *meanwhile) {
            let (done, ended) = channel();
            *meanwhile = Meanwhile::Began(std::thread::spawn(move || {
                act();
                // the waiting thread has stopped waiting
                let _ = done.send(());
            }));
            let _ = ended.recv_timeout(PATIENCE);
        }
    }

    /// The calls so far, with their objects.
    pub fn calls(&self) -> Vec<(Call, String)> {
        self.calls.lock().unwrap().clone()
    }

    /// Whether the fault has occurred.
    pub fn has_hit(&self) -> bool {
        self.hits.load(Ordering::SeqCst) > 0
    }

    /// The call with the fault: its number among all, and its object.
    pub fn hit(&self) -> Option<(usize, String)> {
        let nth = (*self.hit.lock().unwrap())?;
        Some((nth, self.calls.lock().unwrap()[nth].1.clone()))
    }

    fn order(&self, call: Call, object: &str) -> Order {
        let nth = {
            let mut calls = self.calls.lock().unwrap();
            calls.push((call, object.to_owned()));
            calls.len() - 1
        };
        if self.gone.load(Ordering::SeqCst) {
            return Order::FailBefore(reset(nth));
        }
        let Some((aim, fault)) = &self.fault else { return Order::Go };
        if !call.faults().contains(fault) {
            return Order::Go;
        }
        let eligible = self.eligible.fetch_add(1, Ordering::SeqCst);
        let is_meant = match aim {
            Aim::Nth(wanted) => eligible == *wanted,
            Aim::Object(kind, part) => call == *kind && object.contains(part) && !self.has_hit(),
        };
        if !is_meant {
            return Order::Go;
        }
        self.hits.fetch_add(1, Ordering::SeqCst);
        self.hit.lock().unwrap().get_or_insert(nth);
        self.gone.store(matches!(fault, Fault::GoneBefore | Fault::GoneAfter), Ordering::SeqCst);
        match fault {
            Fault::ErrorBefore => Order::FailBefore(timed_out(nth)),
            Fault::ErrorAfter => Order::FailAfter(timed_out(nth)),
            Fault::Slow => Order::Wait,
            Fault::Overtaken => {
                self.give_way();
                Order::Go
            }
            Fault::TruncatedBody => Order::Truncate,
            Fault::GoneBefore => Order::FailBefore(reset(nth)),
            Fault::GoneAfter => Order::FailAfter(reset(nth)),
        }
    }
}

fn error(kind: std::io::ErrorKind, nth: usize) -> Error {
    let message = format!("injected at call {nth}");
    Error::Generic { store: "S3", source: Box::new(std::io::Error::new(kind, message)) }
}

fn timed_out(nth: usize) -> Error {
    error(std::io::ErrorKind::TimedOut, nth)
}

fn reset(nth: usize) -> Error {
    error(std::io::ErrorKind::ConnectionReset, nth)
}

/// A store under a plan.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>, plan: &Arc<Plan>) -> Arc<Faulty> {
        Arc::new(Faulty { inner, plan: plan.clone() })
    }

    /// A call that gives no body.
    async fn call<T>(&self, call: Call, object: &str, act: impl Future<Output = Result<T>>) -> Result<T> {
        match self.plan.order(call, object) {
            Order::FailBefore(error) => Err(error),
            Order::FailAfter(error) => act.await.and(Err(error)),
            Order::Wait => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                act.await
            }
            Order::Go | Order::Truncate => act.await,
        }
    }

    /// A call that gives a stream; it happens when the stream is first asked.
    fn stream<T: Send + 'static>(
        &self,
        call: Call,
        object: &str,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let failing = |error| futures::stream::once(async move { Err(error) });
        match self.plan.order(call, object) {
            Order::FailBefore(error) => failing(error).boxed(),
            Order::FailAfter(error) => {
                let all = stream.try_collect::<Vec<_>>();
                all.map(|done| Err(done.err().unwrap_or(error))).into_stream().boxed()
            }
            Order::Wait => {
                let late = async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    stream
                };
                late.flatten_stream().boxed()
            }
            Order::Go | Order::Truncate => stream,
        }
    }
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.call(Call::Put, location.as_ref(), self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.call(Call::Put, location.as_ref(), self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let call = if options.head { Call::Head } else { Call::Get };
        let act = self.inner.get_opts(location, options);
        let got = match self.plan.order(call, location.as_ref()) {
            Order::FailBefore(error) | Order::FailAfter(error) => return Err(error),
            Order::Go => return act.await,
            Order::Wait => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                return act.await;
            }
            Order::Truncate => act.await?,
        };
        let (meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
        let body = got.bytes().await?;
        let half = body.slice(..body.len() / 2);
        let payload = GetResultPayload::Stream(futures::stream::once(async move { Ok(half) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let act = self.inner.get_ranges(location, ranges);
        match self.plan.order(Call::Get, location.as_ref()) {
            Order::FailBefore(error) | Order::FailAfter(error) => Err(error),
            Order::Go => act.await,
            Order::Wait => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                act.await
            }
            Order::Truncate => {
                let mut parts = act.await?;
                if let Some(last) = parts.last_mut() {
                    last.truncate(last.len() / 2);
                }
                Ok(parts)
            }
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.stream(Call::Delete, "", self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.stream(Call::List, prefix.map_or("", Path::as_ref), self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.stream(Call::List, prefix.map_or("", Path::as_ref), self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let object = prefix.map_or("", Path::as_ref);
        self.call(Call::List, object, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.call(Call::Copy, to.as_ref(), self.inner.copy_opts(from, to, options)).await
    }
}
