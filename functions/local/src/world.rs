//! The world as this machine offers it: clock, ids, folders, memory. The only place that reads the clock or makes ids.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use object_store::memory::InMemory;
use tidemark_flow::{Failure, Kind, Place, settings};
use tidemark_lake::{Lake, LakeError, Store};
use tokio::runtime::{Builder, Handle, Runtime};

/// Keeps the threads that do I/O.
pub struct World {
    runtime: Runtime,
}

impl World {
    pub fn new() -> anyhow::Result<World> {
        Ok(World { runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build()? })
    }

    /// What I/O blocks on.
    pub fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// The lake in a folder, made if it is not there.
    pub fn lake(&self, folder: &Path) -> Result<Lake, Failure> {
        Ok(Lake::open_folder(folder, true, self.handle())?)
    }

    /// The lake in a folder, for those who only look.
    pub fn existing_lake(&self, folder: &Path) -> Result<Lake, Failure> {
        if !folder.exists() {
            let message = format!("no lake at {}", folder.display());
            return Err(
                Failure::new(Kind::Definition, message).hint("name it with --lake, or make it with: tidemark run")
            );
        }
        Ok(Lake::open_folder(folder, false, self.handle())?)
    }

    /// A lake without anything in it, gone with the process.
    pub fn empty_lake(&self) -> Result<Lake, Failure> {
        Ok(Lake::open(Store::new(Arc::new(InMemory::new()), "memory", self.handle()), true)?)
    }

    /// What a source's path names.
    pub fn locate(&self, path: &str) -> Result<Place, Failure> {
        let path = Path::new(path);
        let wrong = |error: std::io::Error| {
            let (kind, hint) = match error.kind() {
                std::io::ErrorKind::NotFound => (Kind::Definition, "give the path of a file, a folder or a glob"),
                std::io::ErrorKind::PermissionDenied => (Kind::Refused, "let the user who runs tidemark read it"),
                _ => (Kind::Retry, "run again"),
            };
            Failure::new(kind, format!("source {} cannot be opened", path.display())).hint(hint).because(error)
        };
        let store = |folder: &Path| {
            // the store would only say that a listing failed
            std::fs::read_dir(folder).map_err(wrong)?;
            Store::folder(folder, self.handle())
                .map_err(|error| Failure::from(LakeError::store(folder.display().to_string(), error)))
        };
        if std::fs::metadata(path).map_err(wrong)?.is_dir() {
            return Ok(Place::Folder(store(path)?));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // a file in a folder that may not be listed can be read all the same
        std::fs::File::open(path).map_err(wrong)?;
        let folder = Store::folder(folder, self.handle())
            .map_err(|error| Failure::from(LakeError::store(folder.display().to_string(), error)))?;
        Ok(Place::File { folder, name })
    }

    /// The folder of a report, made if it is not there.
    pub fn folder(&self, path: &str) -> Result<Store, Failure> {
        let folder = Path::new(path);
        let wrong = |error: std::io::Error| {
            let generic = object_store::Error::Generic { store: "file", source: Box::new(error) };
            Failure::from(LakeError::store(format!("report folder {path}"), generic))
        };
        std::fs::create_dir_all(folder).map_err(wrong)?;
        Store::folder(folder, self.handle())
            .map_err(|error| LakeError::store(format!("report folder {path}"), error).into())
    }
}

/// The only clock.
#[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// `20111209T080000123-1f2e3d4c`: sorts by time, and no two processes make the same.
pub fn run_id() -> String {
    // a new hasher has keys of its own, from the system's randomness
    let random = RandomState::new().hash_one(std::process::id());
    format!("{}-{:08x}", now().to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%3f"), random & 0xffff_ffff)
}

/// Most memory this process has had, in bytes; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kilobytes(&status, "VmHWM:").unwrap_or_default()
}

/// What the program itself and the buffers of its threads take.
const RESIDENT: u64 = 192 << 20;
/// With less, nothing is gained.
const LEAST: u64 = 64 << 20;

/// Memory a step may plan with: what the user says, else half of what the machine, or the group this process is held in, has.
pub fn memory() -> u64 {
    if let Some(given) = std::env::var(settings::MEMORY_MB).ok().and_then(|text| text.parse::<u64>().ok()) {
        return given << 20;
    }
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
    let limit = machine.unwrap_or(4 << 30).min(group_limit().unwrap_or(u64::MAX));
    (limit.saturating_sub(RESIDENT) / 2).max(LEAST)
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kb| kb << 10)
}

/// The least limit of the control groups this process is in and of those above them.
fn group_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let limits = groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let group = Path::new(root).join(path.trim_start_matches('/'));
        let above = group.ancestors().take_while(|group| group.starts_with(root)).map(|group| group.join(file));
        above.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()).collect()
    });
    limits.min()
}
