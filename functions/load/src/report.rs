//! Datasets into a dated report: the same versions and the same day give the same bytes, so a report is written when its folder does
//! not hold those bytes.

use std::time::Duration;

use jiff::Span;
use jiff::civil::Date;
use object_store::UpdateVersion;
use object_store::path::Path;
use polars::prelude::DataFrame;
use tidemark_flow::{
    Balance, Bytes, Context, Days, Drafted, Drafting, Failure, Input, Kind, Output, Size, Step, Trigger,
};
use tidemark_lake::{LakeError, Outcome, Store, Table};
use tidemark_pipeline::{Pipeline, Report, Sheet, day_before};
use tidemark_transform::{bag, sql};

use crate::targets::report::table::Table as SheetTable;
use crate::targets::report::workbook::{Built, build};

/// Step `load <target>` into a folder.
pub struct LoadReport<'a> {
    pipeline: &'a Pipeline,
    report: &'a Report,
}

pub struct Plan {
    days: Vec<Date>,
    inputs: Vec<Table>,
}

pub struct Draft {
    folder: Store,
    /// The files that differ from what their folder holds, with what it held; of each day the workbook last: who waits for it finds the
    /// rest there.
    files: Vec<(Built, Option<UpdateVersion>)>,
    version: i64,
}

/// How long the link to a report is good, at most; one signed by a function's role ends with its session.
const LINK: Duration = Duration::from_secs(12 * 3600);

impl<'a> LoadReport<'a> {
    pub fn new(pipeline: &'a Pipeline, report: &'a Report) -> LoadReport<'a> {
        LoadReport { pipeline, report }
    }

    fn table(&self, context: &Context<'_>, plan: &Plan, day: Date, sheet: &Sheet) -> Result<DataFrame, Failure> {
        let what = || format!("sheet {} ({}:{})", sheet.title, sheet.sql.file, sheet.sql.line);
        let (mut tables, mut read) = (Vec::new(), Vec::new());
        // a dataset the text does not even mention need not be opened
        for input in plan.inputs.iter().filter(|input| sheet.sql.text.contains(input.dataset().as_str())) {
            tables.push((input.dataset().clone(), input.scan(context.lake, &input.files(context.lake)?)?));
            read.push(input.dataset().as_str());
        }
        let text = sql::bind_day(&sheet.sql.text, day);
        let rows = sql::query(&text, tables)
            .map_err(|error| Failure::new(Kind::Definition, format!("{}: {error}", what())).hint("mend the SQL"))?
            .collect()
            .map_err(|error| match LakeError::of_query(&read.join(" or "), error) {
                Ok(damage) => Failure::from(damage),
                Err(error) => Failure::new(Kind::Definition, what()).hint("mend the SQL").because(error),
            })?;
        // rows without an order come in any; the same report must be the same bytes
        if sheet.sql.text.to_ascii_lowercase().contains("order by") {
            Ok(rows)
        } else {
            bag::sort(&rows).map_err(|error| Failure::new(Kind::Bug, what()).because(error))
        }
    }

    /// The files of one day, the workbook last, and how many rows they show.
    fn files(&self, context: &Context<'_>, plan: &Plan, day: Date) -> Result<(Vec<Built>, u64), Failure> {
        let mut sheets = Vec::new();
        for sheet in &self.report.sheets {
            sheets.push(SheetTable { sheet: sheet.clone(), rows: self.table(context, plan, day, sheet)? });
        }
        let rows = sheets.iter().map(|sheet| sheet.rows.height() as u64).sum();
        let mut files = build(self.report, day, &sheets)
            .map_err(|error| Failure::new(Kind::Definition, format!("report {}: {error}", self.report.name)))?;
        files.reverse();
        Ok((files, rows))
    }

    fn workbook(&self, day: Date) -> String {
        format!("{}-{day}.xlsx", self.report.file)
    }
}

impl Step for LoadReport<'_> {
    type Plan = Plan;
    type Draft = Draft;

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn name(&self) -> String {
        format!("load {}", self.report.name)
    }

    fn plan(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let mut inputs = Vec::new();
        for input in &self.report.inputs {
            // not made yet: its step will wake this one
            let Some(table) = context.lake.table(input)? else { return Ok(None) };
            inputs.push(table);
        }
        let days = match trigger.days {
            Some(Days { from, to }) => from.series(Span::new().days(1)).take_while(|day| *day <= to).collect(),
            None => {
                let day = day_before(trigger.scheduled_time, &self.report.timezone).map_err(|error| {
                    let message = format!("report {} has no day before {}", self.report.name, trigger.scheduled_time);
                    Failure::new(Kind::Definition, message).because(error)
                })?;
                vec![day]
            }
        };
        Ok(Some(Plan { days, inputs }))
    }

    fn partitions(&self, plan: &Plan) -> Vec<String> {
        plan.days.iter().map(Date::to_string).collect()
    }

    fn size(&self, plan: &Plan) -> Size {
        Size {
            partitions: (self.report.sheets.len() as u64 + 1) * plan.days.len() as u64,
            rows: None,
            bytes: 0,
            how: None,
        }
    }

    fn draft(
        &self,
        context: &Context<'_>,
        plan: Plan,
        _: &str,
        _: Option<bytes::Bytes>,
    ) -> Result<Drafting<Draft>, Failure> {
        let folder = (context.folder)(&self.report.folder)?;
        let (mut stale, mut outputs, mut rows) = (Vec::new(), Vec::new(), 0);
        for &day in &plan.days {
            let (files, height) = self.files(context, &plan, day)?;
            let before = stale.len();
            for file in files {
                let path = Path::from(file.name.as_str());
                match folder.get_version(&path) {
                    Ok(Some((bytes, _))) if bytes == file.bytes => {}
                    Ok(standing) => stale.push((file, standing.map(|(_, version)| version))),
                    Err(error) => return Err(unwritable(&folder, &file.name, error)),
                }
            }
            if stale.len() > before {
                rows += height;
                let name = self.workbook(day);
                let link = folder.link(&Path::from(name.as_str()), LINK);
                let place = format!("{}/{name}", self.report.folder.trim_end_matches('/'));
                outputs.push(Output { link, ..Output::of(place, 1) });
            }
        }
        if stale.is_empty() {
            return Ok(Drafting::Same);
        }
        let inputs = plan.inputs.iter().map(|input| Input {
            dataset: input.dataset().to_string(),
            from_version: None,
            to_version: input.version(),
        });
        let drafted = Drafted {
            inputs: inputs.collect(),
            outputs,
            rows: Balance { rows_in: rows, written: rows, ..Balance::default() },
            bytes: Bytes { read: 0, written: stale.iter().map(|(file, _)| file.bytes.len() as u64).sum() },
            ..Drafted::default()
        };
        let version = plan.inputs.iter().map(Table::version).max().unwrap_or_default();
        Ok(Drafting::Whole(drafted, Draft { folder, files: stale, version }))
    }

    fn commit(&self, _: &Context<'_>, draft: Draft, _: &mut Drafted) -> Result<Outcome, Failure> {
        for (file, standing) in draft.files {
            let path = Path::from(file.name.as_str());
            let replaced = draft.folder.replace(&path, file.bytes, standing);
            if !replaced.map_err(|error| unwritable(&draft.folder, &file.name, error))? {
                // another run has put one there meanwhile, perhaps of newer rows
                return Ok(Outcome::Lost(draft.version));
            }
        }
        Ok(Outcome::Committed(draft.version))
    }
}

fn unwritable(folder: &Store, name: &str, error: object_store::Error) -> Failure {
    LakeError::store(format!("{name} in {}", folder.place()), error).into()
}
