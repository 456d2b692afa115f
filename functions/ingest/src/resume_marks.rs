//! Where to go on with something whose rows are in closed files only in part.

use std::collections::VecDeque;

/// Where the pieces begin whose rows are not all in closed files yet, each with the number of rows before it.
pub(crate) struct ResumeMarks<P>(VecDeque<(u64, P)>);

impl<P> Default for ResumeMarks<P> {
    fn default() -> ResumeMarks<P> {
        ResumeMarks(VecDeque::new())
    }
}

impl<P> ResumeMarks<P> {
    /// A piece begins at `place`, behind so many `rows`; `closed` rows are in closed files.
    pub(crate) fn add(&mut self, rows: u64, place: P, closed: u64) {
        self.0.push_back((rows, place));
        self.let_go(closed);
    }

    /// So many rows are in closed files now.
    pub(crate) fn let_go(&mut self, closed: u64) {
        while self.0.get(1).is_some_and(|(rows, _)| *rows <= closed) {
            self.0.pop_front();
        }
    }

    /// Where the piece begins that holds the first row which is in no closed file.
    pub(crate) fn into_first(mut self) -> Option<P> {
        self.0.pop_front().map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_piece_with_the_first_row_that_is_in_no_file_is_kept() {
        let mut marks = ResumeMarks::default();
        marks.add(0, "a", 0);
        marks.add(10, "b", 5);
        marks.add(20, "c", 15);
        assert_eq!(marks.0.len(), 2);
        marks.let_go(19);
        assert_eq!(marks.0.len(), 2);
        marks.let_go(20);
        assert_eq!(marks.into_first(), Some("c"));
    }
}
