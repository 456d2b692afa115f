//! Turns the receipts of all tasks into a commit, if anything differs.

use std::collections::BTreeSet;

use tidemark_flow::{Balance, Bytes, DraftSummary, Error, ErrorKind, Input, Output};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Table, schema_from_json};
use tidemark_pipeline::{ColumnName, StepId};

use super::definition::Model;
use super::plan::Plan;
use super::receipts::Receipt;

/// The model's latest version, and the draft to commit on top of it.
pub type ModelDraft = (Option<Table>, Draft);

impl Model<'_> {
    /// Returns None if the result equals the latest version.
    pub(super) fn draft(
        &self,
        mut plan: Plan,
        mut receipts: Vec<Receipt>,
        run_id: &str,
    ) -> Result<Option<(DraftSummary, ModelDraft)>, Error> {
        let read = receipts.iter().map(|receipt| receipt.read).sum();
        if receipts.iter().any(|receipt| receipt.is_rebuild) {
            plan.is_rebuild = true;
            receipts.retain(|receipt| receipt.is_rebuild);
        }
        let schema = match receipts.last() {
            Some(last) => schema_from_json(&self.model.name, &last.schema)
                .ok_or_else(|| Error::new(ErrorKind::Bug, "the columns of a model cannot be read"))?,
            None => plan.base.as_ref().map(|table| table.schema().clone()).unwrap_or_default(),
        };
        let rows_in: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
        let consumed =
            plan.inputs.iter().map(|input| (input.table.dataset().to_string(), input.table.version())).collect();
        let mut draft = Draft {
            dataset: self.model.name.clone(),
            schema,
            partition_by: self.model.partition_by.clone().into_iter().collect::<Vec<ColumnName>>(),
            adds: receipts.into_iter().flat_map(|receipt| receipt.files).collect(),
            removes: Vec::new(),
            consumed,
            meta: Meta { watermark: plan.watermark, fingerprint: self.fingerprint.clone(), bookmark: None },
            info: CommitInfo {
                run_id: run_id.into(),
                step: StepId::Model(self.model.name.clone()).to_string(),
                balance: serde_json::Value::Null,
            },
        };
        let mut summary = DraftSummary {
            inputs: plan
                .inputs
                .iter()
                .map(|input| Input {
                    dataset: input.table.dataset().to_string(),
                    from_version: input.from,
                    to_version: input.table.version(),
                })
                .collect(),
            outputs: vec![Output { watermark: plan.watermark, ..Output::new(self.model.name.as_str(), 0) }],
            ..DraftSummary::default()
        };
        if !plan.is_idle {
            for file in &plan.existing {
                if self.is_replaced(&plan, file)? {
                    draft.removes.push(file.clone());
                }
            }
            let unchanged: u64 = {
                let stays: BTreeSet<_> = draft.removes.iter().map(|file| file.path.as_str()).collect();
                draft.adds.iter().filter(|file| stays.contains(file.path.as_str())).map(|file| file.rows).sum()
            };
            let touched: BTreeSet<_> = draft.adds.iter().chain(&draft.removes).map(|file| &file.partition).collect();
            summary.outputs.iter_mut().for_each(|output| output.partitions = touched.len() as u64);
            summary.rows = Balance { rows_in, written: rows_in - unchanged, unchanged, ..Balance::default() };
            summary.bytes = Bytes { read, written: draft.adds.iter().map(|file| file.bytes).sum() };
        }
        // an unchanged result stops the cascade, but what it has consumed must still be recorded for steps that wait for it
        let is_same = plan.base.is_some() && !draft.changes_rows() && draft.meta == plan.meta;
        if is_same && plan.is_up_to_date {
            return Ok(None);
        }
        draft.info.balance = summary.rows.to_json();
        Ok(Some((summary, (plan.base, draft))))
    }

    /// Whether an existing file belongs to a partition that has been recomputed.
    fn is_replaced(&self, plan: &Plan, file: &DataFile) -> Result<bool, Error> {
        match &plan.periods {
            Some(periods) if !plan.is_rebuild => Ok(periods.contains(&self.period(&file.partition)?)),
            _ => Ok(true),
        }
    }
}
