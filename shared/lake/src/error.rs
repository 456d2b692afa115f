//! Errors of the lake, grouped by what the user can do about them.

use tidemark_pipeline::DatasetName;

use crate::schema_mismatch::SchemaMismatch;
use crate::store_error::StoreErrorAction;

/// Display says what failed and where. The cause is only in `source`; what to do about it is in [`LakeError::hint`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    #[error("{place} is not a lake: it has files but no {marker}")]
    NotALake { place: String, marker: &'static str },

    #[error("{place} was created by a newer tidemark (lake format {found}, this one supports {known})")]
    Newer { place: String, found: u64, known: u64 },

    #[error("dataset {0} does not exist in the lake")]
    NoSuchDataset(DatasetName),

    #[error("dataset {dataset} has no version {version}")]
    NoSuchVersion { dataset: DatasetName, version: i64, latest: i64 },

    /// The Delta log or a data file cannot be understood.
    #[error("{what} is damaged")]
    Corrupt { what: String, source: Box<dyn std::error::Error + Send + Sync> },

    /// The store denied the request: permission, read-only disk, missing folder or bucket.
    #[error("the store denied access: {what}")]
    Denied { what: String, source: object_store::Error },

    /// The location is wrong: there is no such bucket, it is in another region, or the request is invalid.
    #[error("the store rejected the request: {what}")]
    Misplaced { what: String, source: object_store::Error },

    /// The disk is full. Nothing was committed.
    #[error("no space left for {what}")]
    Full { what: String, source: object_store::Error },

    /// Any other failure of the store, which a retry may resolve.
    #[error("the store failed: {what}")]
    Store { what: String, source: object_store::Error },

    /// The store ignores conditional writes (If-None-Match), so commits could overwrite each other.
    #[error("{place} ignores conditional writes (If-None-Match)")]
    Unconditional { place: String },

    /// A type that a Delta table cannot hold.
    #[error("dataset {dataset}, column {column}: a Delta table cannot hold the type {found}")]
    Type { dataset: DatasetName, column: String, found: String },

    /// A commit that keeps existing files cannot change their columns.
    #[error("dataset {dataset} has files that do not fit its new columns ({mismatch})")]
    SchemaMismatch { dataset: DatasetName, mismatch: SchemaMismatch },

    #[error("dataset {dataset}: {what}")]
    Refused { dataset: DatasetName, what: String },

    /// The name of a data file is not one that this program generates.
    #[error("dataset {dataset}: another program wrote {path}")]
    Foreign { dataset: DatasetName, path: String },

    /// A bug in this program or a library, not the user's mistake.
    #[error("{what}")]
    Bug { what: String, source: Box<dyn std::error::Error + Send + Sync> },
}

impl LakeError {
    /// What the user can do about the error, or further information.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            LakeError::NotALake { .. } => "point --lake at an empty folder or an existing lake",
            LakeError::Newer { .. } => "update tidemark",
            LakeError::NoSuchVersion { latest, .. } => return Some(format!("the latest is {latest}")),
            LakeError::Corrupt { .. } => {
                "restore it from a copy, or move the dataset's folder away and run with --full"
            }
            LakeError::Denied { .. } => "check that the location exists and is writable",
            LakeError::Misplaced { .. } => "check the spelling of the location",
            LakeError::Full { .. } => "nothing was committed; free some space and run again",
            LakeError::Store { .. } => "run again",
            LakeError::Unconditional { .. } => "commits would be lost, so it cannot hold a lake",
            LakeError::SchemaMismatch { .. } => "run with --full to rebuild it",
            LakeError::Foreign { .. } => "only tidemark may write to datasets of a lake",
            LakeError::NoSuchDataset(_)
            | LakeError::Type { .. }
            | LakeError::Refused { .. }
            | LakeError::Bug { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// Converts an error of any store (the lake's or another) to the variant for what can be done about it.
    pub fn store(what: impl Into<String>, source: object_store::Error) -> LakeError {
        let what = what.into();
        match StoreErrorAction::for_error(&source) {
            StoreErrorAction::RunAgain => LakeError::Store { what, source },
            StoreErrorAction::Permit => LakeError::Denied { what, source },
            StoreErrorAction::Free => LakeError::Full { what, source },
            StoreErrorAction::Correct => LakeError::Misplaced { what, source },
        }
    }

    /// Converts an error of the Delta kernel: its cause is either the store or an unreadable log.
    pub(crate) fn kernel(what: impl Into<String>, source: delta_kernel::KernelError) -> LakeError {
        use delta_kernel::KernelError as K;
        let what = what.into();
        match source {
            K::Backtraced { source, .. } => LakeError::kernel(what, *source),
            K::ObjectStore(source) => LakeError::store(what, source),
            K::IOError(source) => {
                LakeError::store(what, object_store::Error::Generic { store: "lake", source: Box::new(source) })
            }
            K::FileNotFound(path) => {
                LakeError::Corrupt { what, source: Box::new(delta_kernel::KernelError::FileNotFound(path)) }
            }
            source => LakeError::Corrupt { what, source: Box::new(source) },
        }
    }

    pub(crate) fn polars(what: impl Into<String>, source: polars::error::PolarsError) -> LakeError {
        LakeError::Bug { what: what.into(), source: Box::new(source) }
    }
}
