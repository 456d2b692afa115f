//! Loads datasets into a dated report. The same versions and the same day give the same bytes, so a report is written only if its folder
//! does not hold those bytes already.

use std::time::Duration;

use jiff::Span;
use jiff::civil::Date;
use object_store::path::Path;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use tidemark_flow::{
    Context, Days, DraftSummary, Error, ErrorKind, Folders, Input, Output, Scope, Size, Step, TaskOutcome, TaskScope,
    Trigger,
};
use tidemark_lake::{LakeError, Outcome, Store, Table};
use tidemark_pipeline::{DatasetName, Pipeline, Report, Sheet, StepId, day_before};
use tidemark_transform::{bag, sql};

use crate::targets::report::table::Table as SheetTable;
use crate::targets::report::workbook::{Built, build};

/// Step `load <target>` into a folder.
pub struct LoadReport<'a> {
    pipeline: &'a Pipeline,
    report: &'a Report,
    folders: &'a dyn Folders,
}

pub struct Plan {
    days: Vec<Date>,
    inputs: Vec<Table>,
}

/// The report of one day, of datasets at these versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    day: Date,
    inputs: Vec<(DatasetName, i64)>,
}

/// The outcome of one day's report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// The folder holds the report already.
    Same,
    Written {
        output: Output,
        rows: u64,
        bytes: u64,
    },
    /// Another run has written a file there meanwhile, perhaps from newer rows.
    Lost,
}

/// Maximum time that the link to a report is valid. A link signed by a function's role ends with its session.
const LINK_EXPIRY: Duration = Duration::from_secs(12 * 3600);

impl<'a> LoadReport<'a> {
    pub fn new(pipeline: &'a Pipeline, report: &'a Report, folders: &'a dyn Folders) -> LoadReport<'a> {
        LoadReport { pipeline, report, folders }
    }

    fn table(&self, context: &Context<'_>, inputs: &[Table], day: Date, sheet: &Sheet) -> Result<DataFrame, Error> {
        let what = || format!("sheet {} ({}:{})", sheet.title, sheet.sql.file, sheet.sql.line);
        let (mut tables, mut read) = (Vec::new(), Vec::new());
        // a dataset whose name does not occur in the SQL need not be opened
        for input in inputs.iter().filter(|input| sheet.sql.text.contains(input.dataset().as_str())) {
            tables.push((input.dataset().clone(), input.scan(context.lake, &input.files(context.lake)?)?));
            read.push(input.dataset().as_str());
        }
        let text = sql::bind_day(&sheet.sql.text, day);
        let rows = sql::query(&text, tables)
            .map_err(|error| Error::new(ErrorKind::Definition, format!("{}: {error}", what())).hint("correct the SQL"))?
            .collect()
            .map_err(|error| match LakeError::from_query(&read.join(" or "), error) {
                Ok(damage) => Error::from(damage),
                Err(error) => Error::new(ErrorKind::Definition, what()).hint("correct the SQL").because(error),
            })?;
        // without ORDER BY the order of the rows is arbitrary, and the same report must give the same bytes
        if sheet.sql.text.to_ascii_lowercase().contains("order by") {
            Ok(rows)
        } else {
            bag::sort(&rows).map_err(|error| Error::new(ErrorKind::Bug, what()).because(error))
        }
    }

    /// The files of one day, the workbook last, and the number of rows in them.
    fn files(&self, context: &Context<'_>, inputs: &[Table], day: Date) -> Result<(Vec<Built>, u64), Error> {
        let mut sheets = Vec::new();
        for sheet in &self.report.sheets {
            sheets.push(SheetTable { sheet: sheet.clone(), rows: self.table(context, inputs, day, sheet)? });
        }
        let rows = sheets.iter().map(|sheet| sheet.rows.height() as u64).sum();
        let mut files = build(self.report, day, &sheets)
            .map_err(|error| Error::new(ErrorKind::Definition, format!("report {}: {error}", self.report.name)))?;
        files.reverse();
        Ok((files, rows))
    }

    fn workbook(&self, day: Date) -> String {
        format!("{}-{day}.xlsx", self.report.file)
    }
}

impl Step for LoadReport<'_> {
    type Observed = Vec<Table>;
    type Plan = Plan;
    type Task = Task;
    type Receipt = Receipt;
    type Partial = ();
    type Session<'s>
        = Store
    where
        Self: 's;
    type Draft = Outcome;

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Load(self.report.name.clone())
    }

    fn observe(&self, context: &Context<'_>, _: &Trigger) -> Result<Option<Vec<Table>>, Error> {
        // if an input does not exist yet, its step will trigger this one later
        let inputs = self.report.inputs.iter().map(|input| context.lake.table(input)).collect::<Result<_, _>>()?;
        Ok(inputs)
    }

    fn plan(&self, inputs: Vec<Table>, trigger: &Trigger) -> Result<Option<Plan>, Error> {
        let days = match trigger.days {
            Some(Days { from, to }) => from.series(Span::new().days(1)).take_while(|day| *day <= to).collect(),
            None => {
                let day = day_before(trigger.scheduled_time, &self.report.timezone).map_err(|error| {
                    let message = format!("report {} has no day before {}", self.report.name, trigger.scheduled_time);
                    Error::new(ErrorKind::Definition, message).because(error)
                })?;
                vec![day]
            }
        };
        Ok(Some(Plan { days, inputs }))
    }

    fn scope(&self, plan: &Plan) -> Scope {
        let partitions = (self.report.sheets.len() as u64 + 1) * plan.days.len() as u64;
        let size = Size { partitions, rows: None, bytes: 0, how: None };
        Scope { partitions: plan.days.iter().map(Date::to_string).collect(), size }
    }

    fn tasks(&self, plan: &Plan, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        if !receipts.is_empty() {
            return Ok(Vec::new());
        }
        let inputs: Vec<_> = plan.inputs.iter().map(|input| (input.dataset().clone(), input.version())).collect();
        Ok(plan.days.iter().map(|day| Task { day: *day, inputs: inputs.clone() }).collect())
    }

    fn task_name(&self, task: &Task) -> String {
        task.day.to_string()
    }

    /// The session is the folder.
    fn session<'s>(&'s self, _: &Context<'s>, _: &TaskScope) -> Result<Store, Error> {
        self.folders.folder(&self.report.folder)
    }

    fn run(
        &self,
        context: &Context<'_>,
        folder: &Store,
        task: &Task,
        _: Option<()>,
    ) -> Result<TaskOutcome<Receipt, ()>, Error> {
        let inputs = task.inputs.iter().map(|(dataset, version)| context.lake.table_at(dataset, *version));
        let (files, rows) = self.files(context, &inputs.collect::<Result<Vec<_>, _>>()?, task.day)?;
        // the workbook of a day is written last: once it exists, so do the other files
        let mut stale = Vec::new();
        for file in files {
            let path = Path::from(file.name.as_str());
            match folder.get_version(&path) {
                Ok(Some((bytes, _))) if bytes == file.bytes => {}
                Ok(existing) => stale.push((path, file, existing.map(|(_, version)| version))),
                Err(error) => return Err(unwritable(folder, &file.name, error)),
            }
        }
        if stale.is_empty() {
            return Ok(TaskOutcome::Done(Receipt::Same));
        }
        let mut written = 0;
        for (path, file, existing) in stale {
            written += file.bytes.len() as u64;
            let replaced = folder.replace(&path, file.bytes, existing);
            if !replaced.map_err(|error| unwritable(folder, &file.name, error))? {
                return Ok(TaskOutcome::Done(Receipt::Lost));
            }
        }
        let name = self.workbook(task.day);
        let link = folder.link(&Path::from(name.as_str()), LINK_EXPIRY);
        let place = format!("{}/{name}", self.report.folder.trim_end_matches('/'));
        let output = Output { link, ..Output::new(place, 1) };
        Ok(TaskOutcome::Done(Receipt::Written { output, rows, bytes: written }))
    }

    fn gather(&self, plan: Plan, receipts: Vec<Receipt>, _: &str) -> Result<Option<(DraftSummary, Outcome)>, Error> {
        let version = plan.inputs.iter().map(Table::version).max().unwrap_or_default();
        let inputs = plan.inputs.iter().map(|input| Input {
            dataset: input.dataset().to_string(),
            from_version: None,
            to_version: input.version(),
        });
        let mut summary = DraftSummary { inputs: inputs.collect(), ..DraftSummary::default() };
        let mut is_lost = false;
        for receipt in receipts {
            match receipt {
                Receipt::Same => {}
                Receipt::Lost => is_lost = true,
                Receipt::Written { output, rows, bytes } => {
                    summary.outputs.push(output);
                    summary.rows.rows_in += rows;
                    summary.rows.written += rows;
                    summary.bytes.written += bytes;
                }
            }
        }
        if is_lost {
            return Ok(Some((summary, Outcome::Lost(version))));
        }
        Ok((!summary.outputs.is_empty()).then_some((summary, Outcome::Committed(version))))
    }

    /// Nothing is left to do: the files have been written.
    fn commit(&self, _: &Context<'_>, outcome: Outcome, _: &mut DraftSummary) -> Result<Outcome, Error> {
        Ok(outcome)
    }
}

fn unwritable(folder: &Store, name: &str, error: object_store::Error) -> Error {
    LakeError::store(format!("{name} in {}", folder.place()), error).into()
}
