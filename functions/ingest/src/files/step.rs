//! Step `ingest` of a source `files`: the objects that the raw dataset does not have in their present version. Which those are is in the log
//! of the raw dataset itself, whose partitions they are.

use bytes::Bytes;
use jiff::Timestamp;
use polars::prelude::Schema;
use tidemark_flow::{Context, Drafted, Drafting, Failure, Kind, Output, Size, Step, Trigger};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Table, Work, fingerprint};
use tidemark_pipeline::fingerprint::of_source;
use tidemark_pipeline::raw::OBJECT;
use tidemark_pipeline::{Contract, DatasetName, Files, Pipeline, Source, StepId};

use super::gather::{gather, keep_columns, widened};
use super::listing::{Listing, NewObject, list, news};
use super::object::{ObjectOutcome, ObjectRead, ObjectReader};
use super::receipt::Receipt;
use crate::raw_dataset::{self, RawDataset};

/// Step `ingest` of one pipeline whose source are files.
pub(crate) struct FilesIngest<'a> {
    pipeline: &'a Pipeline,
    files: &'a Files,
    raw: DatasetName,
    /// Of what decides how bytes become raw rows; another one means that everything must be read again.
    fingerprint: String,
}

/// What is new in the source.
pub(crate) struct Plan {
    standing: RawDataset,
    listing: Listing,
    news: Vec<NewObject>,
    /// Everything is read again, so the columns of before do not bind.
    anew: bool,
    /// Files of objects that are no more, taken away only when everything is read again.
    gone: Vec<DataFile>,
    watermark: Option<Timestamp>,
}

impl<'a> FilesIngest<'a> {
    pub(crate) fn new(
        pipeline: &'a Pipeline,
        files: &'a Files,
        contract: &'a Contract,
    ) -> Result<FilesIngest<'a>, Failure> {
        let text = of_source(&Source::Files(files.clone()))
            .map_err(|error| Failure::new(Kind::Bug, "a definition cannot be written down").because(error))?;
        Ok(FilesIngest { pipeline, files, raw: contract.dataset.raw(), fingerprint: fingerprint(&text) })
    }
}

impl FilesIngest<'_> {
    /// What has become of all objects of the plan, as a commit.
    fn drafted(
        &self,
        plan: Plan,
        outcomes: Vec<ObjectOutcome>,
        mut schema: Schema,
        run_id: &str,
    ) -> Result<(Drafted, (Option<Table>, Draft)), Failure> {
        let Plan { standing, listing, news, gone, watermark, .. } = plan;
        let gathered = gather(news, outcomes);
        // what is not read is not complete
        let watermark = if gathered.is_incomplete { standing.meta.watermark } else { watermark };
        if let (true, Some(table)) = (gathered.keeps_former, &standing.table) {
            keep_columns(&mut schema, table.schema());
        }
        let (mut balance, adds) = (gathered.balance, gathered.adds);
        let removes: Vec<DataFile> = gone.into_iter().chain(gathered.removes).collect();
        balance.deleted = removes.iter().map(|file| file.rows).sum();
        let drafted = Drafted {
            outputs: vec![Output { watermark, ..Output::of(self.raw.as_str(), gathered.partitions) }],
            rows: balance,
            bytes: tidemark_flow::Bytes {
                read: gathered.bytes_read,
                written: adds.iter().map(|file| file.bytes).sum(),
            },
            notes: listing.notes.into_iter().chain(gathered.notes).collect(),
            ..Drafted::default()
        };
        let draft = Draft {
            dataset: self.raw.clone(),
            schema,
            partition_by: raw_dataset::partition_by()?,
            adds,
            removes,
            consumed: Vec::new(),
            meta: Meta { watermark, fingerprint: self.fingerprint.clone(), bookmark: None },
            info: CommitInfo { run_id: run_id.into(), step: self.id().to_string(), balance: drafted.rows.to_json() },
        };
        Ok((drafted, (standing.table, draft)))
    }
}

impl Plan {
    /// Columns that the dataset has before any object is read.
    fn base(&self) -> Schema {
        match &self.standing.table {
            Some(table) if !self.anew => table.schema().clone(),
            _ => raw_dataset::schema(),
        }
    }
}

impl Step for FilesIngest<'_> {
    type Plan = Plan;
    type Draft = (Option<Table>, Draft);

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Ingest
    }

    fn plan(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let mut listing = list(context, self.files)?;
        let standing = RawDataset::open(context, &self.raw)?;
        let anew = trigger.full || (standing.table.is_some() && standing.meta.fingerprint != self.fingerprint);
        let news = news(std::mem::take(&mut listing.objects), &standing.files, anew);
        let is_there =
            |file: &&DataFile| news.iter().any(|new| file.partition.get(OBJECT) == Some(new.object.name.as_str()));
        let gone: Vec<DataFile> = match anew {
            false => Vec::new(),
            true => standing.files.iter().filter(|file| !is_there(file)).cloned().collect(),
        };
        // it moves only forward, and only when it has something to say
        let watermark = raw_dataset::watermark(self.pipeline, trigger).max(standing.meta.watermark);
        let is_moved = watermark != standing.meta.watermark;
        if news.is_empty() && gone.is_empty() && standing.table.is_some() && !is_moved && !anew {
            return Ok(None);
        }
        Ok(Some(Plan { standing, listing, news, anew, gone, watermark }))
    }

    fn partitions(&self, plan: &Plan) -> Vec<String> {
        plan.news.iter().map(|new| new.object.name.clone()).collect()
    }

    fn size(&self, plan: &Plan) -> Size {
        let bytes = plan.news.iter().map(|new| new.object.bytes).sum();
        Size { partitions: plan.news.len() as u64, rows: None, bytes, how: None }
    }

    fn work(&self, plan: &Plan) -> Option<Work> {
        // not the objects: those that come while the first are being read wait for the next plan
        let base = plan.standing.table.as_ref().map(Table::version);
        let gone: Vec<_> = plan.gone.iter().map(|file| &file.path).collect();
        let watermark = plan.watermark.map(|watermark| watermark.to_string());
        let plan = format!("{:?}", (base, &self.fingerprint, plan.anew, gone, watermark));
        Some(Work { dataset: self.raw.clone(), plan: fingerprint(&plan) })
    }

    fn draft(
        &self,
        context: &Context<'_>,
        mut plan: Plan,
        run_id: &str,
        kept: Option<Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure> {
        let base = plan.base();
        let mut receipt = kept
            .and_then(|kept| Receipt::from_bytes(&kept, &self.raw, &mut plan.news))
            .unwrap_or_else(|| Receipt::new(&plan.news));
        let left = &plan.news[receipt.outcomes.len()..];
        context.progress.expect(left.iter().map(|new| new.object.bytes).sum());
        let reader = ObjectReader {
            context,
            raw: &self.raw,
            store: &plan.listing.store,
            csv: &self.files.csv,
            base: &base,
            arrived_in: plan.standing.next_version(),
        };
        for (nth, NewObject { object, .. }) in left.iter().enumerate() {
            match reader.read(object, receipt.partial.take())? {
                ObjectRead::Done(outcome) => receipt.outcomes.push(outcome),
                ObjectRead::Late(partial) => {
                    receipt.partial = partial;
                    return Ok(Drafting::Part(receipt.to_bytes(&self.raw)?));
                }
            }
            if nth + 1 < left.len() && context.is_late() {
                return Ok(Drafting::Part(receipt.to_bytes(&self.raw)?));
            }
        }
        let mut outcomes = receipt.outcomes;
        let widened = widened(&base, &plan.news, &outcomes)?;
        for (nth, columns) in widened.empty {
            if let ObjectOutcome::Read { files, .. } = &mut outcomes[nth] {
                *files = reader.write_empty(&plan.news[nth].object, &columns)?;
            }
        }
        let (drafted, draft) = self.drafted(plan, outcomes, widened.schema, run_id)?;
        Ok(Drafting::Whole(drafted, draft))
    }

    fn commit(&self, context: &Context<'_>, (base, draft): Self::Draft, _: &mut Drafted) -> Result<Outcome, Failure> {
        Ok(draft.commit(context.lake, base.as_ref())?)
    }
}
