//! The fingerprint of the program, for the build scripts of those who name it: of `Cargo.lock` and of every source file that decides what
//! rows a step computes, what files it writes and how its work is cut into tasks. It is the same for the command and the functions built
//! from one commit, so that a checkpoint or a task of one is read by the others, and by no other version.

use std::path::{Path, PathBuf};

/// What is hashed, under the root of the workspace.
const SOURCES: [&str; 8] = [
    "Cargo.lock",
    "functions/ingest/src",
    "functions/load/src",
    "functions/transform/src",
    "shared/flow/src",
    "shared/lake/src",
    "shared/pipeline/src",
    "shared/transform/src",
];

/// Gives the crate being built the variable `TIDEMARK_BUILD`, and has it built again when a source changes.
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
        // the place within the workspace, not the place of the workspace
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

/// FNV-1a of 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>), forwards and over the complement: a build script needs no
/// cryptography, and no dependency.
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
