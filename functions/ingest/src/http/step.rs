//! Step `ingest` of a source `http`: what an API says that the raw dataset does not have. How far it has been read is in the log of the
//! raw dataset, and is committed with the rows.

use bytes::Bytes;
use jiff::Timestamp;
use polars::prelude::{DataType, Schema};
use tidemark_flow::{Balance, Context, Drafted, Drafting, Failure, Kind, Output, Size, Step, Trigger};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Partition, Table, Work, Writer, fingerprint};
use tidemark_pipeline::fingerprint::of_source;
use tidemark_pipeline::http::{Missing, Since, TimeFormat};
use tidemark_pipeline::raw::{ARRIVED_IN, OBJECT, PAGE, VERSION};
use tidemark_pipeline::{Contract, DatasetName, Http, Pipeline, Source, StepId, Type};
use tidemark_transform::Times;

use super::gather::{Clocked, Gathered};
use super::window::{Pages, Pass, Read};
use crate::http::client::Client;
use crate::http::request::definition;
use crate::incremental::bookmark::{Bookmark, Task};
use crate::incremental::seen::Overlap;
use crate::{partition_by, raw_schema, standing, watermark};

/// How often in one run a window is begun anew because what has landed of it has become useless.
const ANEW: u32 = 5;

/// Step `ingest` of one pipeline whose source is an API.
pub(crate) struct Fetch<'a> {
    pipeline: &'a Pipeline,
    http: &'a Http,
    contract: &'a Contract,
    raw: DatasetName,
    /// Of what decides what becomes of a record; another one means that everything is asked for again.
    fingerprint: String,
    /// Of what decides what is asked for: what has landed by another one is not gone on with.
    definition: String,
}

/// What to ask for.
pub(crate) struct Plan {
    base: Option<Table>,
    live: Vec<DataFile>,
    meta: Meta,
    bookmark: Bookmark,
    task: Task,
    /// The time that is meant.
    now: Timestamp,
    /// What has landed has been asked for by the invocations before this one, for the same reason.
    is_continued: bool,
    /// Up to when the raw dataset is complete once everything has been read.
    complete: Option<Timestamp>,
}

impl<'a> Fetch<'a> {
    pub(crate) fn of(pipeline: &'a Pipeline, http: &'a Http, contract: &'a Contract) -> Result<Fetch<'a>, Failure> {
        let text = of_source(&Source::Http(Box::new(http.clone())))
            .map_err(|error| Failure::new(Kind::Bug, "a definition cannot be written down").because(error))?;
        let (raw, definition) = (contract.dataset.raw(), definition(http)?);
        Ok(Fetch { pipeline, http, contract, raw, fingerprint: fingerprint(&text), definition })
    }

    /// Where time is read from, if anywhere.
    fn clocked(&self, now: Timestamp) -> Result<Option<Clocked<'a>>, Failure> {
        let Some(since) = &self.http.incremental else { return Ok(None) };
        let column = self
            .contract
            .columns
            .iter()
            .find(|column| column.name == since.column)
            .ok_or_else(|| Failure::new(Kind::Bug, format!("column {} is in no contract", since.column)))?;
        let times = Times::new(column).map_err(|error| {
            Failure::new(Kind::Definition, format!("column {} cannot be read", column.name)).because(error)
        })?;
        let unit = match (column.ty, &since.format) {
            (Type::Int64, TimeFormat::EpochS) => 1_000_000,
            (Type::Int64, _) => 1_000,
            _ => 1,
        };
        Ok(Some(Clocked { since, times, unit, now }))
    }

    /// Whether rows may be committed before the window is whole: not those that are to replace all others.
    fn is_cumulative(&self) -> bool {
        self.http.incremental.is_some()
    }

    /// Whether what the API does not say any more shall go.
    fn replaces(&self) -> bool {
        self.contract.deletes_absent
    }

    /// Reads the window, anew where what has landed of it is of no use.
    fn read(&self, context: &Context<'_>, plan: &Plan, client: &Client<'_>) -> Result<Fetched, Failure> {
        let (http, definition, pipeline) = (self.http, self.definition.as_str(), &self.pipeline.name);
        let pages = Pages { context, http, definition, pipeline, client };
        let now = (context.clock)();
        let clocked = self.clocked(now)?;
        let mut within = plan.task.within.clone();
        let mut useless = 0;
        for nth in 0.. {
            let window = plan.task.window.again(nth);
            let page = within.as_ref().map_or(1, |within| within.page);
            let object = if page > 1 { format!("{}.p{page:05}", window.name) } else { window.name.clone() };
            let version = plan.version().to_string();
            // what an API has said of a window is said once
            let partition =
                [(OBJECT, Some(object.as_str())), (VERSION, Some("1")), (ARRIVED_IN, Some(version.as_str()))];
            let writer = Writer::new(context.lake, &self.raw, &schema(), Partition::new(partition));
            let overlap = Overlap::of(context, plan.base.as_ref(), &plan.live, &plan.standing(), clocked.as_ref());
            let begun_at = within.as_ref().map_or(now, |within| within.begun_at.min(now));
            let mut gathered = Gathered::new(writer, &object, clocked.as_ref(), overlap, begun_at);
            let mut pass = Pass::new(&pages, window, within.as_ref());
            let end = match pages.read(&mut pass, &mut gathered)? {
                Read::Void { is_news } => {
                    useless += u32::from(is_news);
                    within = None;
                    if useless >= ANEW {
                        break;
                    }
                    continue;
                }
                end => end,
            };
            return self.fetched(context, plan, client, pass, gathered, end);
        }
        let message = format!("{} changes faster than it can be read", self.http.url);
        Err(Failure::new(Kind::Retry, message).hint("page by cursor or keyset instead of by number"))
    }

    /// What a pass has come to.
    fn fetched(
        &self,
        context: &Context<'_>,
        plan: &Plan,
        client: &Client<'_>,
        mut pass: Pass,
        mut gathered: Gathered<'_>,
        end: Read,
    ) -> Result<Fetched, Failure> {
        let mut notes: Vec<String> = client.note().into_iter().collect();
        if let Err(failure) = self.note_times(&gathered, &mut notes) {
            // the next run shall not find the same record again in what has landed
            pass.give_up(context)?;
            return Err(failure);
        }
        let reached = plan.bookmark.reached.filter(|_| !plan.task.begins_anew);
        let mut within = match end {
            Read::Late(within) => Some(*within),
            _ => None,
        };
        if within.is_some() && !self.is_cumulative() {
            if pass.asked == 0 {
                let message = format!("all that has landed of {} cannot be read in one invocation", self.http.url);
                return Err(
                    Failure::new(Kind::Refused, message).hint("give the function a longer timeout or more memory")
                );
            }
            return Ok(Fetched::Part(pass.pages()));
        }
        let before = plan.task.within.as_ref();
        let is_taken_up = pass.adopted > 0 && !plan.is_continued;
        let greatest = gathered.greatest.max(before.and_then(|within| within.greatest));
        let greatest = greatest.map(|time| time.min(gathered.begun_at));
        // what others have asked for is complete up to when they asked, which the look after this one will say
        let complete = match before {
            Some(within) => within.complete,
            None => plan.complete.filter(|_| !is_taken_up),
        };
        if let Some(within) = &mut within {
            (within.greatest, within.complete) = (greatest, complete);
        }
        let mut next = Bookmark { reached, within, tail: None, anew_from: plan.task.anew_from };
        let is_whole = next.within.is_none();
        let is_last = pass.window.is_last;
        if is_whole {
            let end = pass.window.range.until.filter(|_| !is_last);
            next.reached = if self.http.incremental.is_some() { reached.max(greatest).max(end) } else { None };
            next.tail = gathered.tail(next.reached).filter(|_| plan.task.within.is_none());
        }
        let is_known = is_whole
            && is_last
            && plan.task.anew_from.is_none()
            && plan.task.within.is_none()
            && plan.meta.fingerprint == self.fingerprint
            && plan.bookmark.tail.is_some_and(|tail| tail == gathered.all);
        if is_known {
            pass.forget(context);
            return Ok(Fetched::Known { bytes: pass.bytes, notes, was_landed: is_taken_up });
        }
        gathered.write()?;
        if let (Some(since), Some(reached)) = (&self.http.incremental, plan.bookmark.reached) {
            notes.extend(gathered.late.note(reached, since.lookback_s));
        }
        // a window without records has nothing to go on with
        if gathered.records > 0 {
            pass.land(context)?;
        }
        let balance = Balance {
            rows_in: gathered.records,
            written: gathered.records - gathered.broken - gathered.repeated,
            unchanged: gathered.repeated,
            quarantined: gathered.broken,
            ..Balance::default()
        };
        let goes_on = !is_whole || !is_last || is_taken_up || before.is_some();
        let (bytes, until) = (pass.bytes, pass.window.range.until);
        Ok(Fetched::News(Box::new(News {
            files: gathered.finish()?,
            balance,
            bookmark: next,
            notes,
            bytes,
            goes_on,
            is_known: false,
            is_last,
            complete: if is_last { complete } else { complete.min(until) },
        })))
    }

    /// What is to be said about the times of records.
    fn note_times(&self, gathered: &Gathered<'_>, notes: &mut Vec<String>) -> Result<(), Failure> {
        let Some(Since { column, missing, .. }) = &self.http.incremental else { return Ok(()) };
        if let Some((page, record)) = gathered.first_missing {
            let message = format!(
                "{} records have no {column} that can be read, the first is record {record} of page {page}",
                gathered.missing
            );
            if *missing == Missing::Fail {
                return Err(
                    Failure::new(Kind::Data, message).hint("let them in with: incremental = { missing = \"keep\", … }")
                );
            }
            notes.push(format!("{message}; they are kept, and come again only if the API says them again"));
        }
        if gathered.ahead > 0 {
            notes.push(format!(
                "{} records have a {column} that is still to come; it is not taken as the time reached",
                gathered.ahead
            ));
        }
        Ok(())
    }

    fn draft_of(&self, plan: Plan, news: News, run_id: &str) -> Result<(Drafted, (Option<Table>, Draft)), Failure> {
        let News { files, mut balance, mut bookmark, notes, bytes, goes_on, is_known, is_last, complete } = news;
        let is_whole = bookmark.within.is_none() && is_last;
        let anew_from = bookmark.anew_from.or_else(|| (self.replaces() && !is_known).then(|| plan.version()));
        let mut removes = Vec::new();
        if let (true, Some(version)) = (is_whole, anew_from) {
            let is_older = |file: &DataFile| {
                file.partition
                    .get(ARRIVED_IN)
                    .and_then(|text| text.parse::<i64>().ok())
                    .is_none_or(|came| came < version)
            };
            removes = plan.live.iter().filter(|file| is_older(file)).cloned().collect();
            bookmark.anew_from = None;
            if files.is_empty() && !removes.is_empty() && plan.task.anew_from.is_none() {
                let message = format!("{} says that there is nothing, and {} has rows", self.http.url, self.raw);
                return Err(
                    Failure::new(Kind::Data, message).hint("if that is so, take them away with: tidemark run --full")
                );
            }
        }
        balance.deleted = removes.iter().map(|file| file.rows).sum();
        // it moves only forward, and not before a window is whole
        let watermark = complete.filter(|_| bookmark.within.is_none()).max(plan.meta.watermark);
        let bookmark = serde_json::to_value(&bookmark)
            .map_err(|error| Failure::new(Kind::Bug, "a bookmark cannot be written").because(error))?;
        let drafted = Drafted {
            outputs: vec![Output { watermark, ..Output::of(self.raw.as_str(), u64::from(!files.is_empty())) }],
            rows: balance,
            bytes: tidemark_flow::Bytes { read: bytes, written: files.iter().map(|file| file.bytes).sum() },
            notes,
            goes_on,
            ..Drafted::default()
        };
        let draft = Draft {
            dataset: self.raw.clone(),
            schema: schema(),
            partition_by: partition_by()?,
            adds: files,
            removes,
            consumed: Vec::new(),
            meta: Meta { watermark, fingerprint: self.fingerprint.clone(), bookmark: Some(bookmark) },
            info: CommitInfo { run_id: run_id.into(), step: self.id().to_string(), balance: drafted.rows.to_json() },
        };
        Ok((drafted, (plan.base, draft)))
    }
}

impl Plan {
    /// What is not read anew.
    fn standing(&self) -> Bookmark {
        match self.task.anew_from {
            None => self.bookmark.clone(),
            Some(_) => Bookmark::default(),
        }
    }

    /// The one the raw dataset will have.
    fn version(&self) -> i64 {
        self.base.as_ref().map_or(0, |table| table.version() + 1)
    }
}

/// What has come of a window.
enum Fetched {
    /// Not all, and none of it is to be seen yet: so many pages have landed.
    Part(u32),
    /// Nothing that is not there already.
    Known {
        bytes: u64,
        notes: Vec<String>,
        was_landed: bool,
    },
    News(Box<News>),
}

struct News {
    files: Vec<DataFile>,
    balance: Balance,
    bookmark: Bookmark,
    notes: Vec<String>,
    bytes: u64,
    goes_on: bool,
    /// It is what stands already.
    is_known: bool,
    /// There is no later window.
    is_last: bool,
    /// Up to when all is there, once the window is whole.
    complete: Option<Timestamp>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.balance.rows_in == 0 && self.bookmark.within.is_none()
    }
}

impl Step for Fetch<'_> {
    type Plan = Plan;
    type Draft = (Option<Table>, Draft);

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Ingest
    }

    fn plan(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let (base, live, meta) = standing(context, &self.raw)?;
        // read another way, what has been read is not known; its rows stay all the same
        let kept = meta.bookmark.clone().filter(|_| meta.fingerprint == self.fingerprint);
        let mut bookmark: Bookmark = kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default();
        bookmark.within = bookmark.within.filter(|within| within.definition == self.definition);
        let version = base.as_ref().map_or(0, |table| table.version() + 1);
        let complete = watermark(self.pipeline, trigger);
        let Some(task) = Task::next(self.http, &bookmark, trigger.full, trigger.scheduled_time, version) else {
            return Ok(None);
        };
        Ok(Some(Plan {
            base,
            live,
            meta,
            bookmark,
            task,
            now: trigger.scheduled_time,
            is_continued: trigger.part > 0,
            complete,
        }))
    }

    fn size(&self, _: &Plan) -> Size {
        // only asking would tell
        Size { partitions: 1, rows: None, bytes: 0, how: None }
    }

    fn work(&self, plan: &Plan) -> Option<Work> {
        let text = format!("fetch {} {}", self.fingerprint, plan.task.window.name);
        Some(Work { dataset: self.raw.clone(), plan: fingerprint(&text) })
    }

    fn draft(
        &self,
        context: &Context<'_>,
        mut plan: Plan,
        run_id: &str,
        _: Option<Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure> {
        let client = Client::new(self.http, context, run_id)?;
        let fetched = loop {
            match self.read(context, &plan, &client)? {
                // a window without a record is no reason for a commit
                Fetched::News(news) if news.is_empty() && !plan.task.window.is_last && !context.is_late() => {
                    let Some(task) = Task::next(self.http, &news.bookmark, false, plan.now, plan.version()) else {
                        break Fetched::News(news);
                    };
                    (plan.bookmark, plan.task) = (news.bookmark, task);
                }
                fetched => break fetched,
            }
        };
        let news = match fetched {
            // what has landed is what there is to go on with
            Fetched::Part(pages) => return Ok(Drafting::Part(pages.to_string().into())),
            Fetched::News(news) => *news,
            Fetched::Known { was_landed, bytes, notes } => {
                let bookmark = plan.bookmark.clone();
                News {
                    files: Vec::new(),
                    balance: Balance::default(),
                    bookmark,
                    notes,
                    bytes,
                    goes_on: was_landed,
                    is_known: true,
                    is_last: true,
                    complete: plan.complete.filter(|_| !was_landed),
                }
            }
        };
        let (stands, meta, goes_on) = (plan.base.is_some(), plan.meta.clone(), news.goes_on);
        let (drafted, draft) = self.draft_of(plan, news, run_id)?;
        let is_same = stands && draft.1.adds.is_empty() && draft.1.removes.is_empty() && draft.1.meta == meta;
        Ok(if is_same && !goes_on { Drafting::Same } else { Drafting::Whole(drafted, draft) })
    }

    fn commit(&self, context: &Context<'_>, (base, draft): Self::Draft, _: &mut Drafted) -> Result<Outcome, Failure> {
        Ok(draft.commit(context.lake, base.as_ref())?)
    }
}

/// The columns of a raw dataset whose source is an API.
fn schema() -> Schema {
    let mut schema = raw_schema();
    schema.insert(PAGE.into(), DataType::Int64);
    schema
}
