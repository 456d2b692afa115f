//! Finds the point from which to resume a read of which only a part of the rows is in closed files.

use std::collections::VecDeque;

/// Starts of the batches whose rows are not all in closed files yet, each with the number of rows before it.
pub(crate) struct ResumeMarks<P>(VecDeque<(u64, P)>);

impl<P> Default for ResumeMarks<P> {
    fn default() -> ResumeMarks<P> {
        ResumeMarks(VecDeque::new())
    }
}

impl<P> ResumeMarks<P> {
    /// Adds a batch that starts at `place` after `rows` rows; `closed` rows are in closed files.
    pub(crate) fn add(&mut self, rows: u64, place: P, closed: u64) {
        self.0.push_back((rows, place));
        self.discard_closed(closed);
    }

    /// Drops the batches whose rows are all among the first `closed` rows.
    pub(crate) fn discard_closed(&mut self, closed: u64) {
        while self.0.get(1).is_some_and(|(rows, _)| *rows <= closed) {
            self.0.pop_front();
        }
    }

    /// Start of the batch with the first row that is in no closed file.
    pub(crate) fn into_first(mut self) -> Option<P> {
        self.0.pop_front().map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_with_the_first_row_in_no_file_is_kept() {
        let mut marks = ResumeMarks::default();
        marks.add(0, "a", 0);
        marks.add(10, "b", 5);
        marks.add(20, "c", 15);
        assert_eq!(marks.0.len(), 2);
        marks.discard_closed(19);
        assert_eq!(marks.0.len(), 2);
        marks.discard_closed(20);
        assert_eq!(marks.into_first(), Some("c"));
    }
}
