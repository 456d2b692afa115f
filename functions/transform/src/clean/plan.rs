//! What of the raw dataset has to be cleaned, decided from the heads of the logs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemark_flow::{Context, Error, Scope, Size, Trigger};
use tidemark_lake::{DataFile, Diff, Meta, Partition, Table};
use tidemark_pipeline::raw;

use super::definition::Clean;
use crate::quarantine::{former, is_up_to_date};

/// The heads of the three logs, and the files that planning needs of them.
pub struct Observed {
    raw: Table,
    raw_files: Vec<DataFile>,
    raw_watermark: Option<Timestamp>,
    /// The version of the raw dataset that has been consumed.
    from: Option<i64>,
    /// What has come and gone since; `None`: nothing that stands is kept.
    changes: Option<Diff>,
    clean: Option<CurrentDataset>,
    quarantine: Option<Table>,
    quarantined: Vec<DataFile>,
    /// The quarantined rows of the objects whose raw rows are the same as they were.
    former: BTreeMap<String, Vec<DataFile>>,
}

/// The clean dataset as it is.
struct CurrentDataset {
    table: Table,
    meta: Meta,
    files: BTreeMap<Partition, Vec<DataFile>>,
}

pub struct Plan {
    pub(super) raw: Table,
    pub(super) clean: Option<Table>,
    /// Live files of the clean dataset.
    pub(super) standing: BTreeMap<Partition, Vec<DataFile>>,
    pub(super) quarantine: Option<Table>,
    /// Its live files.
    pub(super) quarantined: Vec<DataFile>,
    /// The quarantined rows of the objects whose raw rows are the same as they were.
    pub(super) former: BTreeMap<String, Vec<DataFile>>,
    pub(super) from: Option<i64>,
    pub(super) added: Vec<DataFile>,
    /// Raw files that were consumed and are no more.
    pub(super) removed: Vec<DataFile>,
    /// Nothing that stands is kept.
    pub(super) is_rebuild: bool,
    /// Everything is asked for again, whatever is damaged.
    pub(super) is_full: bool,
    pub(super) watermark: Option<Timestamp>,
}

impl Plan {
    /// The objects whose quarantined rows are replaced; `None` = all.
    pub(super) fn objects(&self) -> Option<BTreeSet<String>> {
        (!self.is_rebuild).then(|| objects(self.added.iter().chain(&self.removed)))
    }

    /// The live files whose rows are kept, if they are not of partitions that are merged.
    pub(super) fn kept(&self) -> impl Iterator<Item = &DataFile> {
        self.standing.values().flatten().filter(|_| !self.is_rebuild)
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
        let former = match &quarantine {
            Some(table) => {
                let objects = changes.as_ref().map(|diff| objects(diff.added.iter().chain(&diff.removed)));
                former(lake, (table, &quarantined), (&raw, &raw_files), from, objects.as_ref())?
            }
            None => BTreeMap::new(),
        };
        let clean = match clean {
            Some(table) => Some(CurrentDataset { files: table.partitions(lake)?, table, meta }),
            None => None,
        };
        let raw_watermark = raw.meta(lake)?.watermark;
        Ok(Some(Observed { raw, raw_files, raw_watermark, from, changes, clean, quarantine, quarantined, former }))
    }

    /// Whether nothing that stands is kept.
    fn is_rebuild(&self, from: Option<i64>, meta: &Meta, trigger: &Trigger) -> bool {
        from.is_none() || trigger.full || meta.fingerprint != self.fingerprint
    }

    /// What has come and gone in the raw dataset, where that is enough to know what has to be done.
    fn changes(&self, before: Vec<DataFile>, now: &[DataFile]) -> Option<Diff> {
        let diff = Diff::between(before, now);
        // of a key an older version may now be the newest again, and only the raw rows know it
        (diff.removed.is_empty() || self.contract.key.is_empty()).then_some(diff)
    }

    pub(super) fn decide(&self, observed: Observed, trigger: &Trigger) -> Plan {
        let Observed { raw, raw_files, raw_watermark, from, changes, clean, quarantine, quarantined, former } =
            observed;
        let (clean, meta, standing) = match clean {
            Some(CurrentDataset { table, meta, files }) => (Some(table), meta, files),
            None => (None, Meta::default(), BTreeMap::new()),
        };
        let is_rebuild = changes.is_none();
        let Diff { mut added, removed } = changes.unwrap_or(Diff { added: raw_files, removed: Vec::new() });
        // later rows win, so they must come later
        added.sort_by_cached_key(|file| {
            let arrived = file.partition.get(raw::ARRIVED_IN).and_then(|text| text.parse::<i64>().ok());
            (arrived.unwrap_or_default(), file.partition.get(raw::OBJECT).map(str::to_owned), file.path.clone())
        });
        Plan {
            raw,
            clean,
            standing,
            quarantine,
            quarantined,
            former,
            from,
            added,
            removed,
            is_rebuild,
            is_full: trigger.full,
            watermark: raw_watermark.max(meta.watermark),
        }
    }
}

/// The objects that raw files are of.
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

/// Differs between any two plans.
pub(super) fn text(clean: &Clean<'_>, plan: &Plan) -> String {
    // not the version of the quarantine: it is replaced object by object whatever it was, and its commit comes before the one of the
    // clean rows, so that a run which dies between the two would have to be done again
    let (raw, standing) = (plan.raw.version(), plan.clean.as_ref().map(Table::version));
    let Plan { from, is_rebuild, is_full, watermark, .. } = plan;
    format!("{raw} {from:?} {standing:?} {is_rebuild} {is_full} {watermark:?} {}", clean.fingerprint)
}
