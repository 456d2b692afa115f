//! Sends rows to a table by COPY, frame by frame, except for rows that PostgreSQL cannot hold.

use std::collections::BTreeMap;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::SinkExt as _;
use polars::prelude::{DataFrame, PolarsError};
use tidemark_postgres::{CopyInSink, Fault, Session, is_row_error, server_message};

use super::error::LoadFault;
use super::numbering::{key_text, sorted};
use super::rejected::RejectedRows;
use super::table::{Column, Table};
use super::wire::{HEADER, Rows, TRAILER};
use crate::targets::delta::{Delta, Deltas};

/// Size of one message to the server, in bytes.
const MESSAGE: usize = 256 * 1024;
/// Maximum number of times that a load leaves out rows that only the server can identify as invalid, and sends everything again.
const RESTARTS: usize = 100;

/// The destination of a COPY, and how rows are sent.
pub(super) struct Copy<'a> {
    pub(super) session: &'a Session,
    pub(super) table: &'a Table<'a>,
    pub(super) statement: String,
    /// Whether each row is preceded by its number, and deleted rows are sent too.
    pub(super) is_staged: bool,
    /// Name of the table as it appears in the server's errors with a line number.
    pub(super) relation: &'a str,
    pub(super) is_late: &'a dyn Fn() -> bool,
}

/// Numbers of the rows that were sent.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct SentRows {
    /// Upserted rows, including rejected ones.
    pub(super) rows: u64,
    /// Keys of rows that are deleted.
    pub(super) deleted: u64,
    /// Rows that the server accepted.
    pub(super) taken: u64,
}

impl Copy<'_> {
    /// Sends all rows. If the server reports a row of a temporary table as invalid, and rows may be rejected, sends everything again
    /// without that row.
    pub(super) fn all<'f>(
        &self,
        change: &dyn Fn() -> Deltas<'f>,
        rejected: &mut RejectedRows,
    ) -> Result<SentRows, LoadFault> {
        let mut left_out = BTreeMap::new();
        loop {
            self.session.run("SAVEPOINT copying")?;
            let failed = match self.once(change(), rejected, &left_out) {
                Ok(sent) => {
                    self.session.run("RELEASE SAVEPOINT copying")?;
                    return Ok(sent);
                }
                Err(failed) => failed,
            };
            let Some(by) = failed.server().filter(|error| is_row_error(error)).cloned() else { return Err(failed) };
            let row = line_of(by.where_().unwrap_or_default(), self.relation).and_then(|line| rejected.number(line));
            match row {
                Some(row) if self.may_leave_out(row, &left_out, rejected) => {
                    self.session.run("ROLLBACK TO SAVEPOINT copying")?;
                    left_out.insert(row, server_message(&by));
                }
                _ => {
                    let key = row.and_then(|row| key_text(change(), self.table, row).transpose()).transpose()?;
                    return Err(LoadFault::Row { row: row.unwrap_or(0), key, by: Box::new(by) });
                }
            }
        }
    }

    fn may_leave_out(&self, row: u64, left_out: &BTreeMap<u64, String>, rejected: &RejectedRows) -> bool {
        self.is_staged && rejected.allows_any() && left_out.len() < RESTARTS && !left_out.contains_key(&row)
    }

    fn once(
        &self,
        change: Deltas<'_>,
        rejected: &mut RejectedRows,
        left_out: &BTreeMap<u64, String>,
    ) -> Result<SentRows, LoadFault> {
        self.send(&mut [Line::open(self.session, &self.statement)?], change, rejected, left_out)
    }

    /// Sends all rows once, distributing the messages over the lines in turn.
    pub(super) fn send(
        &self,
        lines: &mut [Line<'_>],
        change: Deltas<'_>,
        rejected: &mut RejectedRows,
        left_out: &BTreeMap<u64, String>,
    ) -> Result<SentRows, LoadFault> {
        rejected.begin();
        let mut line_indexes = (0..lines.len()).cycle();
        let mut next =
            |lines: &mut [Line<'_>], out: &mut BytesMut| match line_indexes.next().and_then(|at| lines.get_mut(at)) {
                Some(line) => line.send(out),
                None => Ok(()),
            };
        let mut out = BytesMut::with_capacity(2 * MESSAGE);
        let mut sent = SentRows::default();
        let mut line = 0;
        for delta in change {
            let Delta { upserts, deletes } = delta?;
            if (self.is_late)() {
                return Err(LoadFault::Late { rows: sent.rows });
            }
            let upserts = sorted(upserts, self.table)?;
            let rows = Rows::new(&upserts, &self.table.slots())?;
            let keys = if self.is_staged { Some(Keys::new(&upserts, self.table)?) } else { None };
            for row in 0..upserts.height() {
                sent.rows += 1;
                rejected.mark_seen(&upserts, row)?;
                let number = self.is_staged.then_some(sent.rows.cast_signed());
                let refused = match left_out.get(&sent.rows) {
                    Some(why) => Some((None, why.clone())),
                    None => {
                        rows.write(row, number, &mut out).err().map(|(column, why)| (Some(column), why.to_string()))
                    }
                };
                match refused {
                    None => line += 1,
                    Some((column, why)) => {
                        let column = column.and_then(|at| Some(self.table.columns.get(at)?.name.as_str()));
                        rejected.add(&upserts, row, sent.rows, column, why)?;
                        // so that the table keeps its row with this key
                        line += keys.as_ref().map_or(0, |keys| keys.write(row, 0, &mut out));
                        rejected.shift(line, Some(sent.rows));
                    }
                }
                if out.len() >= MESSAGE {
                    next(lines, &mut out)?;
                }
            }
            if let Some(deletes) = deletes.filter(|_| self.is_staged) {
                rejected.shift(line, None);
                let keys = Keys::new(&deletes, self.table)?;
                for row in 0..deletes.height() {
                    rejected.mark_seen(&deletes, row)?;
                    let lines = keys.write(row, -1, &mut out);
                    sent.deleted += lines;
                    line += lines;
                }
                rejected.shift(line, Some(sent.rows));
            }
        }
        next(lines, &mut out)?;
        for line in lines {
            sent.taken += line.finish()?;
        }
        Ok(sent)
    }
}

/// Rows of which only the key is sent: deleted and rejected ones.
struct Keys {
    rows: Rows,
    /// For each column of the table, whether it belongs to the key.
    columns: Vec<bool>,
}

impl Keys {
    fn new(frame: &DataFrame, table: &Table<'_>) -> Result<Keys, PolarsError> {
        let key: Vec<_> = table.key().map(Column::slot).collect();
        Ok(Keys { rows: Rows::new(frame, &key)?, columns: table.columns.iter().map(|column| column.is_key).collect() })
    }

    /// Returns the number of lines written, 0 or 1: a key that PostgreSQL cannot hold was never loaded.
    fn write(&self, row: usize, number: i64, out: &mut BytesMut) -> u64 {
        u64::from(self.rows.write_key(row, number, &self.columns, out).is_ok())
    }
}

/// A COPY in progress.
pub(super) struct Line<'a> {
    session: &'a Session,
    sink: Pin<Box<CopyInSink<Bytes>>>,
}

impl<'a> Line<'a> {
    pub(super) fn open(session: &'a Session, statement: &str) -> Result<Line<'a>, Fault> {
        let sink = session.copy_in(statement)?;
        let mut line = Line { session, sink: Box::pin(sink) };
        line.send(&mut BytesMut::from(HEADER))?;
        Ok(line)
    }

    /// Sends the buffer and leaves it empty.
    fn send(&mut self, out: &mut BytesMut) -> Result<(), Fault> {
        self.session.wait(self.sink.send(out.split().freeze()))?;
        out.reserve(2 * MESSAGE);
        Ok(())
    }

    /// Ends the COPY; returns the number of rows that the server accepted.
    fn finish(&mut self) -> Result<u64, Fault> {
        self.send(&mut BytesMut::from(TRAILER.as_slice()))?;
        self.session.wait(self.sink.as_mut().finish())
    }
}

/// The line number in the context of a COPY error: 17 from `COPY orders, line 17, column id`, in any language of the server.
fn line_of(place: &str, relation: &str) -> Option<u64> {
    let rest = place.lines().find_map(|line| line.strip_prefix(&format!("COPY {relation}, ")))?;
    let digits: String = rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_parsed_from_errors_in_any_language() {
        assert_eq!(line_of("COPY orders, line 17, column id: \"x 3\"", "orders"), Some(17));
        assert_eq!(line_of("COPY my, table 5, Zeile 1234", "my, table 5"), Some(1234));
        assert_eq!(line_of("SQL statement", "orders"), None);
    }
}
