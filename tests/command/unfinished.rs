//! A file that is still being written is left for the next run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::running::{self, TestEnvironment, run_step};
use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tidemark_flow::{Error, Place, RunRecord, Status, Trigger};
use tidemark_lake::{Lake, Store};
use tidemark_pipeline::{Pipeline, SourceFile, StepId, read};

/// A store whose files grow when they are read.
#[derive(Debug)]
struct Growing {
    inner: InMemory,
    is_written: AtomicBool,
    /// Whether the body is read in pieces, each with the condition that the object is unchanged.
    is_conditional: bool,
}

impl std::fmt::Display for Growing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("growing")
    }
}

#[async_trait]
impl ObjectStore for Growing {
    async fn put_opts(&self, path: &Path, content: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, content, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let is_read = !options.head;
        let got = self.inner.get_opts(path, options).await?;
        if is_read && self.is_written.load(Ordering::Relaxed) {
            self.inner.put(path, "id\n1\n2\n".into()).await?;
            if self.is_conditional {
                let error = object_store::Error::Precondition { path: path.to_string(), source: "412".into() };
                let pieces = [Ok("id\n".into()), Err(error)];
                return Ok(GetResult { payload: GetResultPayload::Stream(stream::iter(pieces).boxed()), ..got });
            }
        }
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

const DEFINITION: &[u8] = b"[source]\nkind = \"files\"\npath = \"in\"\n[contract.columns]\nid = \"int64\"\n";

fn orders() -> Pipeline {
    let file = SourceFile::new("orders.toml", DEFINITION).unwrap();
    read(&file, &|_| None, &|_| Err(String::new())).unwrap().pipeline
}

#[test]
fn a_file_that_grows_while_it_is_read_waits_for_the_next_run() {
    reads_growing_files_later(false);
    reads_growing_files_later(true);
}

fn reads_growing_files_later(is_conditional: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let source = Arc::new(Growing { inner: InMemory::new(), is_written: AtomicBool::new(true), is_conditional });
    for name in ["a.csv", "b.csv"] {
        // One file has rows, the other is still empty.
        let content = if name == "a.csv" { "id\n1\n" } else { "" };
        runtime.block_on(source.inner.put(&name.into(), content.into())).unwrap();
    }
    let lake = Lake::open(Store::new(Arc::new(InMemory::new()), "memory", runtime.handle().clone()), true).unwrap();
    let pipeline = orders();
    let contract = pipeline.contract.as_ref().unwrap();
    let run = || -> RunRecord {
        let handle = runtime.handle().clone();
        let locate = |_: &str| -> std::result::Result<Place, Error> {
            Ok(Place::Folder(Store::new(source.clone(), "in", handle.clone())))
        };
        let environment = TestEnvironment { locate: &locate, ..TestEnvironment::default() };
        let (clock, new_run_id) = (|| "2024-01-01T00:00:00Z".parse().unwrap(), || "run".to_owned());
        let scratch = std::env::temp_dir();
        let context = running::context(&lake, &clock, &new_run_id, &scratch);
        let trigger = Trigger::at("2024-01-02T08:00:00Z".parse().unwrap(), "unfinished");
        run_step(&context, &environment, &pipeline, &StepId::Ingest, &trigger)
    };
    let table = || lake.table(&contract.dataset.raw()).unwrap();
    let first = run();
    assert_eq!((first.status, first.rows.rows_in), (Status::Done, 0), "{first:?}");
    assert!(first.notes.iter().any(|note| note.contains("a.csv is still being written")), "{:?}", first.notes);
    // The unread files are not complete, so there is no watermark.
    assert_eq!(table().unwrap().meta(&lake).unwrap().watermark, None);
    assert_eq!(table().unwrap().rows(&lake).unwrap(), 0);

    source.is_written.store(false, Ordering::Relaxed);
    let second = run();
    assert_eq!((second.status, second.rows.rows_in), (Status::Done, 4), "{second:?}");
    assert!(table().unwrap().meta(&lake).unwrap().watermark.is_some());
    assert_eq!(run().status, Status::NothingToDo);
}
