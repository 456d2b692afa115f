//! Computes the program's fingerprint in build scripts: a hash of `Cargo.lock` and of every source file that decides which rows a step
//! computes, which files it writes and how its work is split into tasks. The command and the functions built from one commit share it, so
//! each can read the checkpoints and tasks of the others. No other version can.

use std::path::{Path, PathBuf};

/// Files and folders to hash, relative to the root of the workspace.
const SOURCES: [&str; 9] = [
    "Cargo.lock",
    "functions/ingest/src",
    "functions/load/src",
    "functions/transform/src",
    "shared/flow/src",
    "shared/lake/src",
    "shared/pipeline/src",
    "shared/postgres/src",
    "shared/transform/src",
];

/// Sets the variable `TIDEMARK_BUILD` for the crate being built, and has it rebuilt when one of the sources changes.
pub fn emit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for source in SOURCES {
        let path = root.join(source);
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, &mut files);
    }
    files.sort();
    let mut hash = Fnv::default();
    for file in files {
        // hash the path within the workspace, so that the location of the workspace itself does not matter
        hash.add(file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().as_bytes());
        hash.add(&std::fs::read(&file).unwrap_or_default());
    }
    println!("cargo::rustc-env=TIDEMARK_BUILD={:016x}{:016x}", hash.0, hash.1);
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| collect(&entry.path(), files)),
        Err(_) => files.push(path.to_owned()),
    }
}

/// Two 64-bit FNV-1a hashes (<http://www.isthe.com/chongo/tech/comp/fnv/>): one of the bytes, one of their complement. A build script needs
/// neither a cryptographic hash nor a dependency.
struct Fnv(u64, u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325, 0x8422_2325_cbf2_9ce4)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let length = (bytes.len() as u64).to_le_bytes();
        for byte in length.iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
            self.1 = (self.1 ^ u64::from(!*byte)).wrapping_mul(PRIME);
        }
    }
}
