//! Schema drift of a run: fields of raw rows that are not in the contract and the reverse, collected batch by batch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemark_flow::{Drift, Error, ErrorKind, thousands};
use tidemark_pipeline::{Contract, Unknown};
use tidemark_transform::{self as transform, FieldKind, MAX_FIELDS};

/// Maximum number of fields listed in a run record.
const MAX_REPORTED: usize = 50;
/// Maximum number of fields listed in a message.
const MAX_IN_MESSAGE: usize = 10;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drifts {
    fields: BTreeMap<String, Drift>,
    /// There were more distinct fields than are tracked.
    has_more: bool,
    /// Number of JSON records, and the pointers of columns that none of them has.
    records: u64,
    absent: Vec<String>,
}

impl Drifts {
    /// Adds the drift of the next batch.
    pub(crate) fn add(&mut self, batch: transform::Drift) {
        let transform::Drift { unknown, has_more, records, absent } = batch;
        self.has_more |= has_more;
        for transform::Unknown { field, records, first, kind } in unknown {
            self.field(Drift { field, records, first, kind: kind.name().to_owned() });
        }
        self.records(records, &absent);
    }

    /// Adds the drifts of a later task.
    pub(crate) fn append(&mut self, more: &Drifts) {
        self.has_more |= more.has_more;
        for drift in more.fields.values() {
            self.field(drift.clone());
        }
        self.records(more.records, &more.absent);
    }

    fn field(&mut self, drift: Drift) {
        if let Some(known) = self.fields.get_mut(&drift.field) {
            known.records += drift.records;
            if known.kind == FieldKind::Null.name() {
                known.kind = drift.kind;
            }
        } else if self.fields.len() < MAX_FIELDS {
            self.fields.insert(drift.field.clone(), drift);
        } else {
            self.has_more = true;
        }
    }

    fn records(&mut self, records: u64, absent: &[String]) {
        if records == 0 {
            return;
        }
        if self.records == 0 {
            self.absent = absent.to_vec();
        } else {
            self.absent.retain(|field| absent.contains(field));
        }
        self.records += records;
    }

    /// For the run record: the fields found in most records, and the notes.
    pub(crate) fn report(self, unknown: Unknown) -> (Vec<Drift>, Vec<String>) {
        let records = format!("{} {}", thousands(self.records), if self.records == 1 { "record" } else { "records" });
        let mut notes: Vec<_> = self.absent.iter().map(|field| format!("{field} was in none of {records}")).collect();
        if unknown == Unknown::Ignore {
            return (Vec::new(), notes);
        }
        let all = self.fields.len();
        if all > MAX_REPORTED || self.has_more {
            let least = if self.has_more { "more than " } else { "" };
            notes.push(format!(
                "{least}{} fields are not in the contract; the {} found in most records are reported",
                thousands(all as u64),
                MAX_REPORTED.min(all)
            ));
        }
        let mut reported = self.most_frequent();
        reported.truncate(MAX_REPORTED);
        (reported.into_iter().cloned().collect(), notes)
    }

    fn most_frequent(&self) -> Vec<&Drift> {
        let mut fields: Vec<&Drift> = self.fields.values().collect();
        // the sort is stable: fields with equal counts stay in the order of their names
        fields.sort_by_key(|drift| std::cmp::Reverse(drift.records));
        fields
    }

    /// Fails if there are unknown fields and the contract does not allow them.
    pub(crate) fn check_allowed(&self, contract: &Contract) -> Result<(), Error> {
        if contract.unknown != Unknown::Fail || self.fields.is_empty() {
            return Ok(());
        }
        let named: Vec<String> =
            self.most_frequent().into_iter().take(MAX_IN_MESSAGE).map(ToString::to_string).collect();
        let more = self.fields.len().saturating_sub(MAX_IN_MESSAGE);
        let more = if more > 0 { format!("; and {} more fields", thousands(more as u64)) } else { String::new() };
        let message = format!(
            "records of {} have fields that its contract does not have: {}{more}",
            contract.dataset,
            named.join("; ")
        );
        Err(Error::new(ErrorKind::Data, message).hint(
            "nothing was published; add them to [contract.columns], or accept them with unknown = \"keep\" in [contract]",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(fields: &[(&str, u64, FieldKind)], records: u64, absent: &[&str]) -> transform::Drift {
        let unknown = fields.iter().map(|(field, records, kind)| transform::Unknown {
            field: (*field).to_owned(),
            records: *records,
            first: format!("x:{records}"),
            kind: *kind,
        });
        let absent = absent.iter().map(|field| (*field).to_owned()).collect();
        transform::Drift { unknown: unknown.collect(), has_more: false, records, absent }
    }

    #[test]
    fn batches_add_up() {
        let mut drifts = Drifts::default();
        drifts.add(batch(&[("/a", 1, FieldKind::Null), ("/b", 2, FieldKind::String)], 2, &["/x", "/y"]));
        drifts.add(batch(&[], 0, &[]));
        drifts.add(batch(&[("/a", 3, FieldKind::Array), ("/c", 2, FieldKind::Object)], 998, &["/y", "/z"]));
        // the result survives serialization
        let json = serde_json::to_vec(&drifts).unwrap();
        let (reported, notes) = serde_json::from_slice::<Drifts>(&json).unwrap().report(Unknown::Keep);
        let reported: Vec<String> = reported.iter().map(ToString::to_string).collect();
        assert_eq!(
            reported,
            [
                "/a (array) in 4 records, first at x:1",
                "/b (string) in 2 records, first at x:2",
                "/c (object) in 2 records, first at x:2"
            ]
        );
        assert_eq!(notes, ["/y was in none of 1,000 records"]);
        // The results of several tasks are added.
        let (mut first, mut second) = (Drifts::default(), Drifts::default());
        first.add(batch(&[("/a", 1, FieldKind::Null), ("/b", 2, FieldKind::String)], 2, &["/x", "/y"]));
        second.add(batch(&[("/a", 3, FieldKind::Array), ("/c", 2, FieldKind::Object)], 998, &["/y", "/z"]));
        first.append(&second);
        assert_eq!(first, drifts);
        assert_eq!(drifts.report(Unknown::Ignore).0, []);
    }

    #[test]
    fn only_the_most_frequent_of_many_fields_are_reported() {
        let mut drifts = Drifts::default();
        let names: Vec<String> = (0..60).map(|n| format!("/{n:02}")).collect();
        for name in &names {
            drifts.add(batch(&[(name, 1, FieldKind::Number)], 1, &[]));
        }
        let (reported, notes) = drifts.report(Unknown::Keep);
        assert_eq!((reported.len(), reported[49].field.as_str()), (50, "/49"));
        assert_eq!(notes, ["60 fields are not in the contract; the 50 found in most records are reported"]);
        let mut drifts = Drifts::default();
        for n in 0..=MAX_FIELDS {
            drifts.add(batch(&[(&format!("/{n}"), 1, FieldKind::Number)], 1, &[]));
        }
        let (_, notes) = drifts.report(Unknown::Keep);
        assert_eq!(
            notes,
            ["more than 1,000 fields are not in the contract; the 50 found in most records are reported"]
        );
    }
}
