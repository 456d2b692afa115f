//! Where to go on with an object whose rows are in closed files only in part.

use std::collections::VecDeque;

use super::position::Position;

/// Where the frames begin whose rows are not all in closed files yet.
#[derive(Default)]
pub(super) struct Marks(VecDeque<Position>);

impl Marks {
    /// A frame begins at `from`; `closed` rows of the object are in closed files.
    pub(super) fn pass(&mut self, from: Position, closed: u64) {
        self.0.push_back(from);
        while self.0.get(1).is_some_and(|next| next.rows() <= closed) {
            self.0.pop_front();
        }
    }

    /// Where the frame begins that holds the first row which is in no closed file.
    pub(super) fn into_first(mut self) -> Option<Position> {
        self.0.pop_front()
    }
}
