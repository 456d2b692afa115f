//! Where rows go that do not fit in memory.

use std::path::Path;

use tidemark_flow::Context;
use tidemark_lake::{Lake, Work};

#[derive(Clone, Copy)]
pub(crate) enum Room<'a> {
    /// A file in this folder of the local disk; it is gone with the process.
    Disk(&'a Path),
    /// Beside the dataset, where the next invocation finds them.
    Lake(&'a Lake, &'a Work),
}

impl<'a> Room<'a> {
    /// For what must outlast the invocation, if there can be another one.
    pub(crate) fn of(context: &'a Context<'_>, work: &'a Work, is_continued: bool) -> Room<'a> {
        if context.deadline.is_some() || is_continued {
            Room::Lake(context.lake, work)
        } else {
            Room::Disk(&context.scratch)
        }
    }

    /// For what is needed no longer than this invocation: `bytes` of rows as they are in memory.
    pub(crate) fn passing(self, scratch: &'a Path, bytes: usize) -> Room<'a> {
        // a function's /tmp has 512 MB; on the disk these are a third of that, and as much at worst
        const DISK: usize = 384 << 20;
        if bytes <= DISK { Room::Disk(scratch) } else { self }
    }
}
