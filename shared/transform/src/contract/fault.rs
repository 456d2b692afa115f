//! Which rule a row breaks first, in column order: one number per row, so that good rows cost nothing more.

/// The rules of one column, in the order in which they are tried.
pub(super) const TYPE: u32 = 0;
pub(super) const REQUIRED: u32 = 1;
pub(super) const MIN: u32 = 2;
pub(super) const MAX: u32 = 3;
pub(super) const ONE_OF: u32 = 4;
pub(super) const PATTERN: u32 = 5;
const RULES: [&str; 6] = ["type", "required", "min", "max", "one_of", "pattern"];
const WIDTH: u32 = RULES.len() as u32;

/// A broken rule; the smaller comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u32);

/// The rule that a [`Place`] identifies.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The record is not a valid record.
    Format,
    Column {
        column: usize,
        rule: &'static str,
    },
    /// Index of the check.
    Check(usize),
}

impl Place {
    const NONE: Place = Place(u32::MAX);
    pub(super) const FORMAT: Place = Place(0);

    pub(super) fn for_rule(column: usize, rule: u32) -> Place {
        Place(1 + column as u32 * WIDTH + rule)
    }

    /// Checks come after the rules of all columns.
    pub(super) fn check(index: usize, columns: usize) -> Place {
        Place(1 + columns as u32 * WIDTH + index as u32)
    }

    /// The same rule of a later column, at the given distance.
    pub(super) fn shifted(self, columns: usize) -> Place {
        Place(self.0 + columns as u32 * WIDTH)
    }

    fn read(self, columns: usize) -> Broken {
        let Some(at) = self.0.checked_sub(1) else { return Broken::Format };
        match (at as usize).checked_sub(columns * RULES.len()) {
            Some(check) => Broken::Check(check),
            None => Broken::Column { column: (at / WIDTH) as usize, rule: RULES[(at % WIDTH) as usize] },
        }
    }
}

/// The first broken rule of every row of a frame.
#[derive(Debug)]
pub(super) struct Faults {
    first: Vec<Place>,
    any: bool,
}

impl Faults {
    pub(super) fn new(rows: usize) -> Faults {
        Faults { first: vec![Place::NONE; rows], any: false }
    }

    pub(super) fn mark(&mut self, row: usize, place: Place) {
        if let Some(first) = self.first.get_mut(row) {
            *first = place.min(*first);
            self.any = true;
        }
    }

    pub(super) fn any(&self) -> bool {
        self.any
    }

    pub(super) fn is_good(&self, row: usize) -> bool {
        self.first.get(row).is_none_or(|place| *place == Place::NONE)
    }

    /// The broken rows in order, each with the place of its rule.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, Place)> {
        self.first.iter().copied().enumerate().filter(|(_, place)| *place != Place::NONE)
    }

    /// The broken rows in order, each with the rule.
    pub(super) fn iter(&self, columns: usize) -> impl Iterator<Item = (usize, Broken)> {
        self.places().map(move |(row, place)| (row, place.read(columns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_in_column_order_is_kept() {
        let mut faults = Faults::new(4);
        faults.mark(0, Place::check(1, 2));
        faults.mark(1, Place::for_rule(1, TYPE));
        faults.mark(1, Place::for_rule(0, PATTERN));
        faults.mark(1, Place::check(0, 2));
        faults.mark(3, Place::for_rule(1, REQUIRED));
        faults.mark(3, Place::FORMAT);
        let found: Vec<_> = faults.iter(2).collect();
        let pattern = Broken::Column { column: 0, rule: "pattern" };
        assert_eq!(found, [(0, Broken::Check(1)), (1, pattern), (3, Broken::Format)]);
        assert!(faults.is_good(2));
    }
}
