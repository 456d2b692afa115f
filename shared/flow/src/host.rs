//! This process and its machine: clock, ids, memory, folders. The only place that reads the clock or generates ids.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidemark_lake::{LakeError, Meter, Store};
use tidemark_pipeline::SecretName;
use tokio::runtime::Handle;

use crate::context::Place;
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::settings;

/// The current time. All time comes from here.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A new run id like `20111209T080000123-1f2e3d4c`. Ids sort by time and are unique across processes.
pub fn run_id() -> String {
    run_id_at(now())
}

/// A run id for the given time.
pub fn run_id_at(at: Timestamp) -> String {
    // each new hasher has random keys from the operating system
    let random = RandomState::new().hash_one(std::process::id());
    format!("{}-{:08x}", at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%3f"), random & 0xffff_ffff)
}

/// Peak memory of this process in bytes; 0 if the system does not report it.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kilobytes(&status, "VmHWM:").unwrap_or_default()
}

/// Memory used by the program itself and by the buffers of its threads.
const RESIDENT: u64 = 192 << 20;
/// Lower bound of the memory budget; less would not help.
const LEAST: u64 = 64 << 20;

/// Memory budget of a step in bytes: the user's setting, otherwise half of what is available to the function, the machine or the control
/// group of this process.
pub fn memory(function: Option<u64>) -> u64 {
    if let Some(given) = std::env::var(settings::MEMORY_MB).ok().and_then(|text| text.parse::<u64>().ok()) {
        return given << 20;
    }
    let total_memory = || std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
    let limit = function.unwrap_or_else(|| total_memory().unwrap_or(4 << 30).min(group_limit().unwrap_or(u64::MAX)));
    (limit.saturating_sub(RESIDENT) / 2).max(LEAST)
}

/// Reads a secret from the environment of this process; `None` if the variable is unset or empty.
pub fn secret(name: &SecretName) -> Option<Secret> {
    std::env::var(variable_of(name)).ok().filter(|text| !text.is_empty()).map(Secret::new)
}

/// The environment variable that holds a secret: `TIDEMARK_SECRET_ORDERS_API_TOKEN` for `orders-api-token`.
pub fn variable_of(name: &SecretName) -> String {
    format!("{}{}", settings::SECRET, name.as_str().to_ascii_uppercase().replace('-', "_"))
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kb| kb << 10)
}

/// The lowest memory limit of the control groups of this process and of their ancestors.
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

/// Resolves the path of a source on this machine.
pub fn locate(path: &str, handle: &Handle, meter: &Meter) -> Result<Place, Error> {
    let path = Path::new(path);
    let failed = |error: std::io::Error| {
        let (kind, hint) = match error.kind() {
            std::io::ErrorKind::NotFound => (ErrorKind::Definition, "give the path of a file, a folder or a glob"),
            std::io::ErrorKind::PermissionDenied => (ErrorKind::Refused, "allow the user who runs tidemark to read it"),
            _ => (ErrorKind::Retry, "run again"),
        };
        Error::new(kind, format!("source {} cannot be opened", path.display())).hint(hint).because(error)
    };
    let open = |folder: &Path| {
        Store::folder(folder, handle.clone())
            .map(|store| store.with_meter(meter))
            .map_err(|error| Error::from(LakeError::store(folder.display().to_string(), error)))
    };
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        // check first, since the error of the store would only say that a listing failed
        std::fs::read_dir(path).map_err(failed)?;
        return Ok(Place::Folder(open(path)?));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // a file can be read even if its folder cannot be listed
    std::fs::File::open(path).map_err(failed)?;
    Ok(Place::File { folder: open(folder)?, name })
}

/// Opens the folder of a report on this machine, and creates it if it does not exist.
pub fn folder(path: &str, handle: &Handle, meter: &Meter) -> Result<Store, Error> {
    Store::open_or_create_folder(Path::new(path), handle.clone())
        .map(|store| store.with_meter(meter))
        .map_err(|error| LakeError::store(format!("report folder {path}"), error).into())
}
