//! Targets of datasets: take frames and write rows of a database, or files. Nothing here reads the lake.

mod cell;
pub(crate) mod delta;
pub(crate) mod postgres;
pub mod report;
pub(crate) mod row_text;
pub mod sqlite;
pub(crate) mod sums;

#[cfg(test)]
mod folder {
    use std::path::{Path, PathBuf};

    /// A folder of one test, removed when this is dropped.
    pub(crate) struct Folder(PathBuf);

    impl Folder {
        pub(crate) fn new(test: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("tidemark-load-{}-{test}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
