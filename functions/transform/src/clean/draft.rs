//! Turns the receipts of all tasks into commits: the quarantine, and, if it is within the budget, the clean rows.

use std::collections::BTreeSet;

use tidemark_flow::{Bytes, Context, DraftSummary, Error, Input, Output};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Table};
use tidemark_pipeline::StepId;
use tidemark_transform::Cleaner;

use super::definition::{Clean, Value};
use super::plan::Plan;
use super::receipts::{AddedRows, Receipt};
use crate::errors::contract_error;
use crate::quarantine::QuarantineDraft;

pub struct Drafts {
    quarantine: QuarantineDraft,
    /// The clean rows, or the error because of which they are not published.
    clean: Result<Box<CleanDraft>, Error>,
}

struct CleanDraft {
    base: Option<Table>,
    draft: Draft,
}

impl Clean<'_> {
    pub(super) fn draft(
        &self,
        plan: Plan,
        receipts: Vec<Receipt>,
        run_id: &str,
    ) -> Result<(DraftSummary, Drafts), Error> {
        let added = AddedRows::all(&receipts);
        let budget = self.within_budget(&added);
        let AddedRows { mut balance, drifts, .. } = added;
        let (mut quarantined, mut written, mut merged) = (Vec::new(), Vec::new(), Vec::new());
        // existing rows that move to another partition
        let mut moved = 0;
        for receipt in receipts {
            match receipt {
                Receipt::Superseded { existing, incoming, .. } => {
                    balance.deduplicated += incoming;
                    // a row that existed in another partition and comes here is an updated row that has moved
                    balance.updated += existing;
                    moved += existing;
                }
                Receipt::Quarantined { files } => quarantined.extend(files),
                Receipt::Merged { value, files, counts } => {
                    balance.written += counts.written;
                    balance.updated += counts.updated;
                    balance.unchanged += counts.unchanged;
                    balance.deduplicated += counts.deduplicated;
                    balance.deleted += counts.deleted;
                    written.extend(files);
                    merged.push(value);
                }
                Receipt::Added(_) | Receipt::Removed { .. } | Receipt::Existing { .. } => {}
            }
        }
        balance.written -= moved;
        let meta = Meta { watermark: plan.watermark, fingerprint: self.fingerprint.clone(), bookmark: None };
        let consumed = vec![(self.raw.to_string(), plan.raw.version())];
        let quarantine = QuarantineDraft {
            objects: plan.objects(),
            base: plan.quarantine.clone(),
            live: plan.quarantined.clone(),
            draft: Draft {
                dataset: self.quarantine.clone(),
                schema: Cleaner::quarantine_schema(),
                partition_by: crate::quarantine::partition_by()?,
                adds: quarantined,
                removes: Vec::new(),
                consumed: consumed.clone(),
                meta: meta.clone(),
                info: CommitInfo { run_id: run_id.into(), step: "quarantine".into(), balance: balance.to_json() },
            },
        };
        if let Err(over) = budget {
            // the quarantined rows are committed even though nothing is published, so that the user can see what is wrong
            return Ok((DraftSummary::default(), Drafts { quarantine, clean: Err(over) }));
        }
        let (drift, notes) = drifts.report(self.contract.unknown);
        let summary = DraftSummary {
            inputs: vec![Input {
                dataset: self.raw.to_string(),
                from_version: plan.from,
                to_version: plan.raw.version(),
            }],
            outputs: vec![Output {
                watermark: plan.watermark,
                ..Output::new(self.contract.dataset.as_str(), merged.len() as u64)
            }],
            bytes: Bytes { read: bytes(&plan.added) + bytes(&plan.removed), written: bytes(&written) },
            rows: balance,
            notes,
            drift,
            ..DraftSummary::default()
        };
        let cleaner = Cleaner::new(self.contract, &self.fingerprint).map_err(contract_error)?;
        let draft = Draft {
            dataset: self.contract.dataset.clone(),
            schema: cleaner.schema().clone(),
            partition_by: self.partition_column().cloned().into_iter().collect(),
            adds: written,
            removes: self.removes(&plan, &merged),
            consumed,
            meta,
            info: CommitInfo {
                run_id: run_id.into(),
                step: StepId::Clean.to_string(),
                balance: summary.rows.to_json(),
            },
        };
        let clean = Ok(Box::new(CleanDraft { base: plan.clean, draft }));
        Ok((summary, Drafts { quarantine, clean }))
    }

    /// Files of the clean dataset to remove.
    fn removes(&self, plan: &Plan, merged: &[Value]) -> Vec<DataFile> {
        if plan.is_rebuild {
            return plan.existing.values().flatten().cloned().collect();
        }
        let partitions: BTreeSet<_> = merged.iter().map(|value| self.partition_of(value)).collect();
        partitions.iter().flat_map(|partition| plan.existing.get(partition).cloned().unwrap_or_default()).collect()
    }
}

impl Drafts {
    pub(super) fn commit(self, context: &Context<'_>) -> Result<Outcome, Error> {
        let quarantine = self.quarantine.commit(context.lake)?;
        match (self.clean, quarantine) {
            // if the race was lost, another run has committed the quarantined rows
            (Err(over), _) => Err(over),
            (Ok(_), lost @ Outcome::Lost(_)) => Ok(lost),
            (Ok(clean), Outcome::Committed(_)) => {
                let CleanDraft { base, draft } = *clean;
                Ok(draft.commit(context.lake, base.as_ref())?)
            }
        }
    }
}

fn bytes(files: &[DataFile]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}
