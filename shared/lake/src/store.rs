//! An object store with blocking calls, sorted listings and a count of its requests.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, UpdateVersion,
};
use polars_buffer::Buffer;
use tokio::runtime::Handle;

use crate::meter::{Meter, Requests};

type Result<T, E = object_store::Error> = std::result::Result<T, E>;

/// A place that holds objects: the lake, the folder of a source, the folder of a report.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Counted>,
    handle: Handle,
    /// The location as the user wrote it, for messages.
    place: Arc<str>,
    links: Option<Arc<dyn Links>>,
    /// The local folder, if the store is one.
    folder: Option<Arc<FilePath>>,
}

/// A store whose objects can be fetched by a link that needs no further credentials.
#[async_trait]
pub trait Links: Send + Sync + std::fmt::Debug {
    /// A link to one object, valid for `lasts`. Does not check that the object exists.
    async fn link(&self, path: &Path, lasts: Duration) -> Result<String>;
}

/// An object opened for reading: a local file, which can be mapped, or a stream.
pub enum Opened {
    File(File),
    Stream(Box<dyn Read + Send>),
}

impl Store {
    /// `place` is the name shown to the user. Calls block on `handle`, so they must not be used in async code.
    pub fn new(inner: Arc<dyn ObjectStore>, place: &str, handle: Handle) -> Store {
        let inner = Counted { inner, meter: Meter::default(), counts_itself: false };
        Store { inner: Arc::new(inner), handle, place: place.into(), links: None, folder: None }
    }

    /// A store on another machine, which counts its own requests in `meter` and can give links to its objects.
    pub fn remote<S: ObjectStore + Links>(store: Arc<S>, place: &str, handle: Handle, meter: &Meter) -> Store {
        let inner = Counted { inner: store.clone(), meter: meter.clone(), counts_itself: true };
        Store { inner: Arc::new(inner), handle, place: place.into(), links: Some(store), folder: None }
    }

    /// The same store, whose requests are counted together with those of others.
    pub fn with_meter(self, meter: &Meter) -> Store {
        let inner = Counted { inner: self.inner.inner.clone(), meter: meter.clone(), ..*self.inner };
        Store { inner: Arc::new(inner), ..self }
    }

    /// A store in a local folder, which must exist.
    pub fn folder(folder: &FilePath, handle: Handle) -> Result<Store> {
        let inner = LocalFileSystem::new_with_prefix(folder)?;
        let store = Store::new(Arc::new(inner), &folder.display().to_string(), handle);
        Ok(Store { folder: Some(folder.into()), ..store })
    }

    /// A store in a local folder, which is created if missing.
    pub fn open_or_create_folder(folder: &FilePath, handle: Handle) -> Result<Store> {
        std::fs::create_dir_all(folder).map_err(generic)?;
        Store::folder(folder, handle)
    }

    pub fn place(&self) -> &str {
        &self.place
    }

    /// The meter that counts its requests.
    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    pub fn requests(&self) -> Requests {
        self.inner.meter.requests()
    }

    /// A link by which anyone can fetch the object, valid for `lasts`. Returns None if the store cannot give links.
    pub fn link(&self, path: &Path, lasts: Duration) -> Option<String> {
        let links = self.links.as_ref()?;
        match self.handle.block_on(links.link(path, lasts)) {
            Ok(link) => Some(link),
            Err(error) => {
                tracing::warn!(%error, object = %path, "no link was signed");
                None
            }
        }
    }

    pub(crate) fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.inner.clone()
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub fn get(&self, path: &Path) -> Result<Bytes> {
        self.handle.block_on(async { self.inner.get(path).await?.bytes().await })
    }

    /// Reads several objects concurrently. One result for each path, in order.
    pub fn get_all(&self, paths: Vec<Path>) -> Vec<Result<Bytes>> {
        const AT_ONCE: usize = 16;
        let get = |path: Path| async move { self.inner.get(&path).await?.bytes().await };
        self.handle.block_on(futures::stream::iter(paths).map(get).buffered(AT_ONCE).collect())
    }

    pub fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        self.handle.block_on(self.inner.get_range(path, range))
    }

    /// The whole object as one buffer: memory-mapped if it is a local file, else read into memory.
    #[expect(
        unsafe_code,
        reason = "mapping a file that something else truncates would be undefined; ours are never changed"
    )]
    pub fn map(&self, path: &Path) -> Result<Buffer<u8>> {
        self.handle.block_on(async {
            let response = self.inner.get(path).await?;
            match response.payload {
                GetResultPayload::File(file, _) => {
                    // SAFETY: data files are never changed after they have been written, only deleted as a whole
                    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(generic)?;
                    Ok(Buffer::from_owner(map))
                }
                GetResultPayload::Stream(_) => Ok(Buffer::from_owner(response.bytes().await?)),
            }
        })
    }

    /// Opens an object to be read from front to back.
    pub fn open(&self, path: &Path) -> Result<(ObjectMeta, Opened)> {
        self.open_from(path, 0)
    }

    /// Opens an object for reading from byte `offset`, which must lie within it. The metadata returned is that of the whole object.
    pub fn open_from(&self, path: &Path, offset: u64) -> Result<(ObjectMeta, Opened)> {
        // an empty object has no valid range
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        let options = GetOptions { range, ..GetOptions::default() };
        let response = self.handle.block_on(self.inner.get_opts(path, options))?;
        let meta = response.meta.clone();
        Ok(match response.payload {
            GetResultPayload::File(mut file, _) => {
                if offset > 0 {
                    file.seek(SeekFrom::Start(offset)).map_err(generic)?;
                }
                (meta, Opened::File(file))
            }
            GetResultPayload::Stream(stream) => {
                let stream = StreamReader { stream, handle: self.handle.clone(), chunk: Bytes::new() };
                (meta, Opened::Stream(Box::new(stream)))
            }
        })
    }

    pub fn head(&self, path: &Path) -> Result<ObjectMeta> {
        self.handle.block_on(self.inner.head(path))
    }

    /// Writes the object atomically, replacing an existing one.
    pub fn put(&self, path: &Path, content: impl Into<Bytes>) -> Result<()> {
        let content = PutPayload::from(content.into());
        self.handle.block_on(self.inner.put(path, content)).map(drop)
    }

    /// Writes the object if none exists. Returns false if one does.
    pub fn create(&self, path: &Path, content: impl Into<Bytes>) -> Result<bool> {
        let content = PutPayload::from(content.into());
        match self.handle.block_on(self.inner.put_opts(path, content, PutMode::Create.into())) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the object with its version identifier. Returns None if it does not exist.
    pub fn get_version(&self, path: &Path) -> Result<Option<(Bytes, UpdateVersion)>> {
        self.handle.block_on(async {
            let response = match self.inner.get(path).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                response => response?,
            };
            let version = UpdateVersion { e_tag: response.meta.e_tag.clone(), version: response.meta.version.clone() };
            Ok(Some((response.bytes().await?, version)))
        })
    }

    /// Writes the object if its version is still `seen` (None: if it does not exist). Returns false otherwise.
    pub fn replace(&self, path: &Path, content: impl Into<Bytes>, seen: Option<UpdateVersion>) -> Result<bool> {
        let content = content.into();
        let Some(seen) = seen else { return self.create(path, content) };
        let version = seen.clone();
        let mode = PutMode::Update(seen);
        match self.handle.block_on(self.inner.put_opts(path, content.clone().into(), mode.into())) {
            Ok(_) => Ok(true),
            Err(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                self.replace_alone(path, content, &version)
            }
            Err(error) => Err(error),
        }
    }

    /// Local folders have no conditional writes, so a lock on the folder is held while an object is replaced.
    fn replace_alone(&self, path: &Path, content: Bytes, seen: &UpdateVersion) -> Result<bool> {
        let folder = self.folder.as_ref().map(File::open).transpose().map_err(generic)?;
        if let Some(folder) = &folder {
            // released when the file is closed, by the operating system if the process dies
            folder.lock().map_err(generic)?;
        }
        let stands = match self.head(path) {
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            found => found?,
        };
        if stands.e_tag != seen.e_tag {
            return Ok(false);
        }
        self.put(path, content).map(|()| true)
    }

    /// Everything below a prefix, sorted by name.
    pub fn list(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let mut found: Vec<_> = self.handle.block_on(self.inner.list(prefix).try_collect())?;
        found.sort_unstable_by(|a: &ObjectMeta, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// Everything below a prefix whose name sorts after another, sorted by name.
    pub fn list_after(&self, prefix: &Path, after: &Path) -> Result<Vec<ObjectMeta>> {
        let mut found: Vec<_> = self.handle.block_on(self.inner.list_with_offset(Some(prefix), after).try_collect())?;
        found.sort_unstable_by(|a: &ObjectMeta, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// The folders directly below a prefix, sorted.
    pub fn folders(&self, prefix: &Path) -> Result<Vec<Path>> {
        let mut found = self.handle.block_on(self.inner.list_with_delimiter(Some(prefix)))?.common_prefixes;
        found.sort_unstable();
        Ok(found)
    }

    pub fn delete(&self, path: &Path) -> Result<()> {
        self.handle.block_on(self.inner.delete(path))
    }
}

fn generic(source: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "file", source: Box::new(source) }
}

struct StreamReader {
    stream: BoxStream<'static, Result<Bytes>>,
    handle: Handle,
    chunk: Bytes,
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.chunk.is_empty() {
            match self.handle.block_on(self.stream.next()) {
                Some(chunk) => self.chunk = chunk.map_err(std::io::Error::other)?,
                None => return Ok(0),
            }
        }
        let taken = self.chunk.split_to(buffer.len().min(self.chunk.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

/// Counts requests; sorts listings, because the Delta kernel needs them sorted and local folders do not sort; and treats a body that
/// ends early as an error, because a log or source cut off at the end of a line would look complete.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn ObjectStore>,
    meter: Meter,
    /// Whether the inner store counts its own requests, so that they must not be counted here.
    counts_itself: bool,
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

/// Wraps the body so that it ends with an error if it is shorter or longer than announced.
fn whole(response: GetResult) -> GetResult {
    let range = response.range.clone();
    let payload = match response.payload {
        file @ GetResultPayload::File(..) => file,
        GetResultPayload::Stream(stream) => {
            let checked = futures::stream::try_unfold((stream, 0), move |(mut stream, length)| {
                let range = range.clone();
                async move {
                    match stream.try_next().await? {
                        Some(chunk) => {
                            let length = length + chunk.len() as u64;
                            Ok(Some((chunk, (stream, length))))
                        }
                        None => check_length(length, &range).map(|()| None),
                    }
                }
            });
            GetResultPayload::Stream(checked.boxed())
        }
    };
    GetResult { payload, ..response }
}

fn check_length(found: u64, range: &Range<u64>) -> Result<()> {
    let promised = range.end - range.start;
    if found == promised {
        return Ok(());
    }
    let message = format!("the body ended after {found} of {promised} bytes");
    Err(generic(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, message)))
}

impl Counted {
    fn count(&self, more: Requests) {
        if !self.counts_itself {
            self.meter.count(more);
        }
    }

    fn sorted(listing: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let sorted = async move {
            let mut found: Vec<ObjectMeta> = listing.try_collect().await?;
            found.sort_unstable_by(|a, b| a.location.cmp(&b.location));
            Ok::<_, object_store::Error>(futures::stream::iter(found.into_iter().map(Ok)))
        };
        futures::stream::once(sorted).try_flatten().boxed()
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.count(Requests { put: 1, ..Requests::default() });
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.count(Requests { put: 1, ..Requests::default() });
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.count(Requests { get: 1, ..Requests::default() });
        self.inner.get_opts(location, options).await.map(whole)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.count(Requests { get: 1, ..Requests::default() });
        let parts = self.inner.get_ranges(location, ranges).await?;
        for (part, range) in parts.iter().zip(ranges) {
            check_length(part.len() as u64, range)?;
        }
        Ok(parts)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.count(Requests { delete: 1, ..Requests::default() });
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count(Requests { list: 1, ..Requests::default() });
        Counted::sorted(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count(Requests { list: 1, ..Requests::default() });
        Counted::sorted(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count(Requests { list: 1, ..Requests::default() });
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.count(Requests { put: 1, ..Requests::default() });
        self.inner.copy_opts(from, to, options).await
    }
}
