//! How far a source has been read by time, and what of its next answer is there already. Of no source in particular: it never knows how
//! one is asked, nor how one answer leads to the next.
//!
//! | file | what |
//! |---|---|
//! | `window` | the stretches of time in which a source is read, and the one to read next |
//! | `bookmark` | how far it has been read, as the raw dataset's log has it |
//! | `event_time` | the column that says when a record was last changed |
//! | `observed` | what the records of a window say of time |
//! | `digest` | records without regard to their order, to see that nothing is new |
//! | `advance` | what a window has brought into the next bookmark |
//! | `overlap`, `late` | what of an answer is there already, and what came behind what had been seen |

pub(crate) mod advance;
pub(crate) mod bookmark;
pub(crate) mod digest;
pub(crate) mod event_time;
pub(crate) mod late;
pub(crate) mod observed;
pub(crate) mod overlap;
pub(crate) mod window;
