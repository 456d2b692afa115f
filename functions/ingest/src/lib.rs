//! Step `ingest`: what a source holds and the raw dataset does not. It keeps what the source said, as it said it, and judges
//! nothing; a record that is no record is kept with its text and the reason.

pub mod files;
pub mod http;
mod incremental;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use polars::prelude::{DataType, Field, Schema, SchemaExt as _};
use tidemark_flow::{
    Balance, Bus, Context, Drafted, Drafting, Event, Failure, Handled, Kind, Output, RunRecord, Size, Step, Trigger,
};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Table, Work, fingerprint};
use tidemark_pipeline::fingerprint::of_source;
use tidemark_pipeline::raw::{self, ARRIVED_IN, OBJECT, VERSION};
use tidemark_pipeline::{ColumnName, DatasetName, Files, Graph, Pipeline, Source, StepId};

use crate::files::listing::{Listing, Object, list, news};
use crate::files::object::{Read, Reading};
use crate::files::progress::{Finished, Progress};
use crate::http::step::Fetch;

/// Handles one event: a schedule, an object that has come, a part of an ingest that goes on.
pub fn handle(
    context: &Context<'_>,
    graph: &Graph,
    bus: &dyn Bus,
    event: &Event,
    chain: &str,
) -> Result<Handled, Failure> {
    tidemark_flow::handle(context, graph, bus, walk, "ingest", event, chain)
}

/// Walks step `ingest`.
pub fn walk(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<RunRecord, Failure> {
    Ok(match of_api(pipeline, step)? {
        Some(fetch) => tidemark_flow::walk(context, trigger, &fetch),
        None => tidemark_flow::walk(context, trigger, &Ingest::of(pipeline, step)?),
    })
}

/// What the step would do now; `None` if nothing.
pub fn due(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<Option<Size>, Failure> {
    if let Some(fetch) = of_api(pipeline, step)? {
        return Ok(fetch.plan(context, trigger)?.map(|plan| fetch.size(&plan)));
    }
    let step = Ingest::of(pipeline, step)?;
    Ok(step.plan(context, trigger)?.map(|plan| step.size(&plan)))
}

/// The step, where the source is an API.
fn of_api<'a>(pipeline: &'a Pipeline, step: &StepId) -> Result<Option<Fetch<'a>>, Failure> {
    match (step, &pipeline.source, &pipeline.contract) {
        (StepId::Ingest, Some(Source::Http(http)), Some(contract)) => Fetch::of(pipeline, http, contract).map(Some),
        _ => Ok(None),
    }
}

/// Up to when the raw dataset is complete once everything there is has been read: the last time the schedule has meant, or
/// the last midnight (UTC) where there is no schedule.
pub(crate) fn watermark(pipeline: &Pipeline, trigger: &Trigger) -> Option<Timestamp> {
    match &pipeline.schedule {
        Some(schedule) => schedule.previous(trigger.scheduled_time),
        None => trigger.scheduled_time.to_zoned(TimeZone::UTC).start_of_day().ok().map(|day| day.timestamp()),
    }
}

/// The raw dataset as it stands: its files, and what is kept in its log beside them.
pub(crate) fn standing(
    context: &Context<'_>,
    raw: &DatasetName,
) -> Result<(Option<Table>, Vec<DataFile>, Meta), Failure> {
    Ok(match context.lake.table(raw)? {
        Some(table) => (Some(table.clone()), table.files(context.lake)?, table.meta(context.lake)?),
        None => (None, Vec::new(), Meta::default()),
    })
}

/// Step `ingest` of one pipeline.
pub struct Ingest<'a> {
    pipeline: &'a Pipeline,
    files: &'a Files,
    raw: DatasetName,
    /// Of what decides how bytes become raw rows; another one means that everything must be read again.
    fingerprint: String,
}

/// What is new in the source.
pub struct Plan {
    base: Option<Table>,
    listing: Listing,
    /// New or changed objects, with the files of their former version.
    news: Vec<(Object, Vec<DataFile>)>,
    /// Everything is read again, so the columns of before do not bind.
    anew: bool,
    /// Files of objects that are no more, taken away only when everything is made anew.
    gone: Vec<DataFile>,
    watermark: Option<Timestamp>,
}

impl<'a> Ingest<'a> {
    fn of(pipeline: &'a Pipeline, step: &StepId) -> Result<Ingest<'a>, Failure> {
        let (StepId::Ingest, Some(Source::Files(files)), Some(contract)) = (step, &pipeline.source, &pipeline.contract)
        else {
            return Err(Failure::new(Kind::Bug, format!("{step} of {} is no ingest", pipeline.name)));
        };
        let text = of_source(&Source::Files(files.clone()))
            .map_err(|error| Failure::new(Kind::Bug, "a definition cannot be written down").because(error))?;
        Ok(Ingest { pipeline, files, raw: contract.dataset.raw(), fingerprint: fingerprint(&text) })
    }
}

impl Ingest<'_> {
    /// What has become of all objects of the plan, as a commit.
    fn drafted(
        &self,
        context: &Context<'_>,
        plan: Plan,
        finished: Vec<Finished>,
        mut schema: Schema,
        run_id: &str,
    ) -> Result<(Drafted, (Option<Table>, Draft)), Failure> {
        let Plan { base, listing, news, gone, mut watermark, .. } = plan;
        let mut drafted = Drafted { notes: listing.notes, ..Drafted::default() };
        let mut partitions = 0;
        let (mut adds, mut removes, mut stays) = (Vec::new(), gone, false);
        let mut balance = Balance::default();
        for ((object, former), finished) in news.into_iter().zip(finished) {
            match finished {
                Finished::Whole { files, rows, broken } => {
                    if rows == 0 {
                        drafted.notes.push(format!("{} has no rows", object.name));
                    }
                    balance.rows_in += rows;
                    balance.written += rows - broken;
                    balance.quarantined += broken;
                    drafted.bytes.read += object.bytes;
                    partitions += 1;
                    adds.extend(files);
                    removes.extend(former);
                }
                Finished::Changing => {
                    drafted.notes.push(format!("{} is still being written; it waits for the next run", object.name));
                    // what is not read is not complete
                    watermark = base
                        .as_ref()
                        .map(|table| table.meta(context.lake))
                        .transpose()?
                        .and_then(|meta| meta.watermark);
                    stays |= !former.is_empty();
                }
            }
        }
        if let (true, Some(table)) = (stays, &base) {
            for field in table.schema().iter_fields() {
                if !schema.contains(field.name()) {
                    schema.with_column(field.name().clone(), field.dtype().clone());
                }
            }
        }
        balance.deleted = removes.iter().map(|file| file.rows).sum();
        drafted.bytes.written = adds.iter().map(|file| file.bytes).sum();
        drafted.outputs = vec![Output { watermark, ..Output::of(self.raw.as_str(), partitions) }];
        drafted.rows = balance;
        let draft = Draft {
            dataset: self.raw.clone(),
            schema,
            partition_by: partition_by()?,
            adds,
            removes,
            consumed: Vec::new(),
            meta: Meta { watermark, fingerprint: self.fingerprint.clone(), bookmark: None },
            info: CommitInfo { run_id: run_id.into(), step: self.id().to_string(), balance: drafted.rows.to_json() },
        };
        Ok((drafted, (base, draft)))
    }
}

impl Step for Ingest<'_> {
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
        let (base, live, meta) = standing(context, &self.raw)?;
        let anew = trigger.full || (base.is_some() && meta.fingerprint != self.fingerprint);
        let objects = std::mem::take(&mut listing.objects);
        let news = news(objects, &live, anew);
        let gone = match anew {
            false => Vec::new(),
            true => {
                let kept =
                    |file: &DataFile| news.iter().any(|(object, _)| file.partition.get(OBJECT) == Some(&object.name));
                live.into_iter().filter(|file| !kept(file)).collect()
            }
        };
        // it moves only forward, and only when it has something to say
        let watermark = watermark(self.pipeline, trigger).max(meta.watermark);
        if news.is_empty() && gone.is_empty() && base.is_some() && watermark == meta.watermark && !anew {
            return Ok(None);
        }
        Ok(Some(Plan { base, listing, news, anew, gone, watermark }))
    }

    fn partitions(&self, plan: &Plan) -> Vec<String> {
        plan.news.iter().map(|(object, _)| object.name.clone()).collect()
    }

    fn size(&self, plan: &Plan) -> Size {
        let bytes = plan.news.iter().map(|(object, _)| object.bytes).sum();
        Size { partitions: plan.news.len() as u64, rows: None, bytes, how: None }
    }

    fn work(&self, plan: &Plan) -> Option<Work> {
        // not the objects: those that come while the first are being read wait for the next plan
        let base = plan.base.as_ref().map(Table::version);
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
        let standing = plan.base.as_ref().map_or_else(raw_schema, |table| table.schema().clone());
        let schema = if plan.anew { raw_schema() } else { standing };
        let mut progress = match kept.and_then(|kept| Progress::from_bytes(&kept, &self.raw, &mut plan.news)) {
            Some(progress) => progress,
            None => Progress::none(&plan.news, schema),
        };
        let left = &plan.news[progress.finished.len()..];
        context.progress.expect(left.iter().map(|(object, _)| object.bytes).sum());
        let reading = Reading {
            context,
            raw: &self.raw,
            store: &plan.listing.store,
            csv: &self.files.csv,
            arrived_in: plan.base.as_ref().map_or(0, |table| table.version() + 1),
        };
        for (nth, (object, _)) in left.iter().enumerate() {
            match reading.read(object, progress.begun.take(), &mut progress.schema)? {
                Read::Finished(finished) => progress.finished.push(finished),
                Read::Late(begun) => {
                    progress.begun = begun;
                    return Ok(Drafting::Part(progress.to_bytes(&self.raw)?));
                }
            }
            if nth + 1 < left.len() && context.is_late() {
                return Ok(Drafting::Part(progress.to_bytes(&self.raw)?));
            }
        }
        let Progress { finished, schema, .. } = progress;
        let (drafted, draft) = self.drafted(context, plan, finished, schema, run_id)?;
        Ok(Drafting::Whole(drafted, draft))
    }

    fn commit(&self, context: &Context<'_>, (base, draft): Self::Draft, _: &mut Drafted) -> Result<Outcome, Failure> {
        Ok(draft.commit(context.lake, base.as_ref())?)
    }
}

/// Columns every raw dataset has, whatever its source.
fn raw_schema() -> Schema {
    let text = |name: &str| Field::new(name.into(), DataType::String);
    let number = |name: &str| Field::new(name.into(), DataType::Int64);
    [text(raw::TEXT), text(raw::FAULT), text(OBJECT), number(raw::ROW), text(VERSION), number(ARRIVED_IN)]
        .into_iter()
        .collect()
}

fn partition_by() -> Result<Vec<ColumnName>, Failure> {
    raw::PARTITION_BY
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::new(Kind::Bug, "a raw dataset's partition cannot be named").because(error))
}
