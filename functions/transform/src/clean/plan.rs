//! Decides which raw files have to be cleaned, from the latest versions of the datasets' logs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemark_flow::{Context, Error, Scope, Size, Trigger};
use tidemark_lake::{DataFile, Diff, Meta, Partition, Table};
use tidemark_pipeline::raw;

use super::definition::Clean;
use crate::quarantine::{is_up_to_date, previous_files};

/// The latest versions of the three datasets, and the files needed for planning.
pub struct Observed {
    raw: Table,
    raw_files: Vec<DataFile>,
    raw_watermark: Option<Timestamp>,
    /// The version of the raw dataset that the clean dataset has consumed.
    from: Option<i64>,
    /// Raw files added and removed since then. None if the clean dataset is rebuilt.
    changes: Option<Diff>,
    clean: Option<CurrentDataset>,
    quarantine: Option<Table>,
    quarantined: Vec<DataFile>,
    /// Quarantined rows of objects whose raw rows have not changed, by object.
    previous: BTreeMap<String, Vec<DataFile>>,
}

/// The clean dataset at its latest version.
struct CurrentDataset {
    table: Table,
    meta: Meta,
    files: BTreeMap<Partition, Vec<DataFile>>,
}

pub struct Plan {
    pub(super) raw: Table,
    pub(super) clean: Option<Table>,
    /// Live files of the clean dataset.
    pub(super) existing: BTreeMap<Partition, Vec<DataFile>>,
    pub(super) quarantine: Option<Table>,
    /// Live files of the quarantine.
    pub(super) quarantined: Vec<DataFile>,
    /// Quarantined rows of objects whose raw rows have not changed, by object.
    pub(super) previous: BTreeMap<String, Vec<DataFile>>,
    pub(super) from: Option<i64>,
    pub(super) added: Vec<DataFile>,
    /// Raw files that were consumed and have been removed since.
    pub(super) removed: Vec<DataFile>,
    /// The dataset is rebuilt; no existing rows are kept.
    pub(super) is_rebuild: bool,
    /// The user asked for a full run: damaged existing files must not make it fail.
    pub(super) is_full: bool,
    pub(super) watermark: Option<Timestamp>,
}

impl Plan {
    /// The objects whose quarantined rows are replaced. None means all.
    pub(super) fn objects(&self) -> Option<BTreeSet<String>> {
        (!self.is_rebuild).then(|| objects(self.added.iter().chain(&self.removed)))
    }

    /// Live files of the clean dataset; none if it is rebuilt.
    pub(super) fn kept(&self) -> impl Iterator<Item = &DataFile> {
        self.existing.values().flatten().filter(|_| !self.is_rebuild)
    }
}

impl Clean<'_> {
    pub(super) fn observe_logs(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Observed>, Error> {
        let lake = context.lake;
        let Some(raw) = lake.table(&self.raw)? else { return Ok(None) };
        let clean = lake.table(&self.contract.dataset)?;
        let quarantine = lake.table(&self.quarantine)?;
        let (from, meta) = match &clean {
            Some(table) => (table.consumed(lake, self.raw.as_str())?, table.meta(lake)?),
            None => (None, Meta::default()),
        };
        let is_rebuild = self.is_rebuild(from, &meta, trigger);
        if !is_rebuild && from == Some(raw.version()) && quarantine.as_ref().is_none_or(is_up_to_date) {
            return Ok(None);
        }
        let raw_files = raw.files(lake)?;
        let before = match from.filter(|_| !is_rebuild) {
            Some(version) => Some(lake.table_at(&self.raw, version)?.files(lake)?),
            None => None,
        };
        let changes = before.and_then(|before| self.changes(before, &raw_files));
        let quarantined = quarantine.as_ref().map(|table| table.files(lake)).transpose()?.unwrap_or_default();
        let previous = match &quarantine {
            Some(table) => {
                let objects = changes.as_ref().map(|diff| objects(diff.added.iter().chain(&diff.removed)));
                previous_files(lake, (table, &quarantined), (&raw, &raw_files), from, objects.as_ref())?
            }
            None => BTreeMap::new(),
        };
        let clean = match clean {
            Some(table) => Some(CurrentDataset { files: table.partitions(lake)?, table, meta }),
            None => None,
        };
        let raw_watermark = raw.meta(lake)?.watermark;
        Ok(Some(Observed { raw, raw_files, raw_watermark, from, changes, clean, quarantine, quarantined, previous }))
    }

    /// Whether the dataset must be rebuilt.
    fn is_rebuild(&self, from: Option<i64>, meta: &Meta, trigger: &Trigger) -> bool {
        from.is_none() || trigger.full || meta.fingerprint != self.fingerprint
    }

    /// The changes of the raw dataset. Returns None if they do not suffice, so that a rebuild is needed.
    fn changes(&self, before: Vec<DataFile>, now: &[DataFile]) -> Option<Diff> {
        let diff = Diff::between(before, now);
        // if raw rows are removed, an older version of a key may be the newest again, and only the raw rows hold it
        (diff.removed.is_empty() || self.contract.key.is_empty()).then_some(diff)
    }

    pub(super) fn decide(&self, observed: Observed, trigger: &Trigger) -> Plan {
        let Observed { raw, raw_files, raw_watermark, from, changes, clean, quarantine, quarantined, previous } =
            observed;
        let (clean, meta, existing) = match clean {
            Some(CurrentDataset { table, meta, files }) => (Some(table), meta, files),
            None => (None, Meta::default(), BTreeMap::new()),
        };
        let is_rebuild = changes.is_none();
        let Diff { mut added, removed } = changes.unwrap_or(Diff { added: raw_files, removed: Vec::new() });
        // later rows win, so files are sorted by arrival
        added.sort_by_cached_key(|file| {
            let arrived = file.partition.get(raw::ARRIVED_IN).and_then(|text| text.parse::<i64>().ok());
            (arrived.unwrap_or_default(), file.partition.get(raw::OBJECT).map(str::to_owned), file.path.clone())
        });
        Plan {
            raw,
            clean,
            existing,
            quarantine,
            quarantined,
            previous,
            from,
            added,
            removed,
            is_rebuild,
            is_full: trigger.full,
            watermark: raw_watermark.max(meta.watermark),
        }
    }
}

/// The objects that raw files come from.
fn objects<'f>(files: impl Iterator<Item = &'f DataFile>) -> BTreeSet<String> {
    files.filter_map(|file| file.partition.get(raw::OBJECT).map(str::to_owned)).collect()
}

pub(super) fn scope(plan: &Plan) -> Scope {
    let all = || plan.added.iter().chain(&plan.removed);
    let size = Size {
        partitions: all().count() as u64,
        rows: Some(all().map(|file| file.rows).sum()),
        bytes: all().map(|file| file.bytes).sum(),
        how: None,
    };
    Scope { partitions: objects(all()).into_iter().collect(), size }
}

/// A text that differs between any two plans.
pub(super) fn text(clean: &Clean<'_>, plan: &Plan) -> String {
    // the version of the quarantine is left out: it is replaced object by object whatever it was, and it is committed before the
    // clean rows, so that a run which dies between the two would have to be done again
    let (raw, clean_version) = (plan.raw.version(), plan.clean.as_ref().map(Table::version));
    let Plan { from, is_rebuild, is_full, watermark, .. } = plan;
    format!("{raw} {from:?} {clean_version:?} {is_rebuild} {is_full} {watermark:?} {}", clean.fingerprint)
}
