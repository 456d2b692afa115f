//! Merges staged rows. Rows that the database rejects are found by bisection.

use tidemark_postgres::{DbError, Fault, Session, is_row_error, server_message};

use super::error::LoadFault;
use super::numbering::{key_text, sorted};
use super::rejected::RejectedRows;
use super::staged::{Merged, Staged, StagedRange, is_duplicate_match};
use super::table::Table;
use crate::targets::delta::Deltas;

/// Merges the staged rows. If the database rejects one, merges halves, and halves of these, until each rejected row is isolated.
pub(super) fn merge<'f>(
    session: &Session,
    staged: &Staged<'_>,
    table: &Table<'_>,
    change: &dyn Fn() -> Deltas<'f>,
    rows: u64,
    rejected: &mut RejectedRows,
) -> Result<Merged, LoadFault> {
    // the search stops beyond this number; if none may be rejected, one is searched for, to name it in the error
    let max = table.target.max_refused.limit(rows).max(1);
    let mut halving = Halving { session, staged, max_rejected: max, refused: Vec::new() };
    let mut merged = Merged::default();
    session.run("SAVEPOINT merging")?;
    match staged.merge(&StagedRange::All) {
        Ok(whole) => {
            session.run("RELEASE SAVEPOINT merging")?;
            return Ok(whole);
        }
        Err(fault) => {
            let Some(by) = fault.server().filter(|error| is_row_error(error) || is_duplicate_match(error)).cloned()
            else {
                return Err(fault.into());
            };
            session.run("ROLLBACK TO SAVEPOINT merging")?;
            if let Some(row) = staged.duplicate_row()? {
                let key = key_text(change(), table, row)?.unwrap_or_default();
                return Err(LoadFault::Twice { table: table.name.clone(), key });
            }
            if is_duplicate_match(&by) {
                return Err(fault.into());
            }
        }
    }
    halving.merge(&StagedRange::Pages(0, staged.pages()?), &mut merged)?;
    let refused = std::mem::take(&mut halving.refused);
    if !rejected.allows_any() {
        return match refused.into_iter().next() {
            Some((row, by)) => Err(LoadFault::Row { row, key: key_text(change(), table, row)?, by }),
            None => Ok(merged),
        };
    }
    let refused: Vec<(u64, String)> = refused.into_iter().map(|(row, by)| (row, server_message(&by))).collect();
    reject(change(), table, rejected, &refused)?;
    Ok(merged)
}

struct Halving<'a> {
    session: &'a Session,
    staged: &'a Staged<'a>,
    /// Number of rejected rows beyond which the search stops.
    max_rejected: u64,
    refused: Vec<(u64, Box<DbError>)>,
}

impl Halving<'_> {
    /// Merges a part, except for rejected rows.
    fn merge(&mut self, part: &StagedRange, merged: &mut Merged) -> Result<(), Fault> {
        self.session.run("SAVEPOINT half")?;
        let by = match self.staged.merge(part) {
            Ok(more) => {
                self.session.run("RELEASE SAVEPOINT half")?;
                merged.inserted += more.inserted;
                merged.updated += more.updated;
                return Ok(());
            }
            Err(fault) => match fault.server().filter(|error| is_row_error(error)) {
                Some(by) => by.clone(),
                None => return Err(fault),
            },
        };
        self.session.run("ROLLBACK TO SAVEPOINT half; RELEASE SAVEPOINT half")?;
        for half in self.halves(part, by)? {
            if self.refused.len() as u64 <= self.max_rejected {
                self.merge(&half, merged)?;
            }
        }
        Ok(())
    }

    /// The halves of a part that was rejected. A part of one row has none; the row is recorded as rejected.
    fn halves(&mut self, part: &StagedRange, by: DbError) -> Result<Vec<StagedRange>, Fault> {
        let rows = match part {
            StagedRange::Pages(from, to) if to - from > 1 => {
                let middle = from + (to - from) / 2;
                return Ok(vec![StagedRange::Pages(*from, middle), StagedRange::Pages(middle, *to)]);
            }
            part => self.staged.places(part)?,
        };
        if rows.is_empty() {
            // fails even without rows, for example because of a statement trigger
            return Err(Fault::Server(Box::new(by)));
        }
        if let [(_, number)] = rows.as_slice() {
            self.refused.push((*number, Box::new(by)));
            return Ok(Vec::new());
        }
        let (left, right) = rows.split_at(rows.len() / 2);
        let part = |rows: &[(String, u64)]| StagedRange::Rows(rows.iter().map(|(place, _)| place.clone()).collect());
        Ok(vec![part(left), part(right)])
    }
}

/// Reads the rows with these numbers again and rejects them.
fn reject(
    change: Deltas<'_>,
    table: &Table<'_>,
    rejected: &mut RejectedRows,
    refused: &[(u64, String)],
) -> Result<(), LoadFault> {
    let mut before = 0;
    for delta in change {
        let rows = sorted(delta?.upserts, table)?;
        let numbers = before + 1..=before + rows.height() as u64;
        for (number, why) in refused.iter().filter(|(number, _)| numbers.contains(number)) {
            rejected.add(&rows, (number - before - 1) as usize, *number, None, why.clone())?;
        }
        before += rows.height() as u64;
    }
    Ok(())
}
