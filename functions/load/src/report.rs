//! Datasets into a dated report: the same versions and the same day give the same bytes, so a report is written when its folder does
//! not hold those bytes.

use jiff::civil::Date;
use object_store::path::Path;
use polars::prelude::DataFrame;
use tidemark_flow::{Balance, Bytes, Drafted, Failure, Input, Kind, Ports, Size, Step, Trigger};
use tidemark_lake::{LakeError, Outcome, Store, Table};
use tidemark_pipeline::{Pipeline, Report, Sheet, day_before};
use tidemark_transform::{bag, sql};

use crate::target::report::{Built, Table as SheetTable, build};

/// Step `load <target>` into a folder.
pub struct LoadReport<'a> {
    pipeline: &'a Pipeline,
    report: &'a Report,
}

pub struct Plan {
    day: Date,
    inputs: Vec<Table>,
}

pub struct Draft {
    folder: Store,
    /// The workbook last: who waits for it finds the rest there.
    files: Vec<Built>,
    version: i64,
}

impl<'a> LoadReport<'a> {
    pub fn new(pipeline: &'a Pipeline, report: &'a Report) -> LoadReport<'a> {
        LoadReport { pipeline, report }
    }

    fn table(&self, ports: &Ports<'_>, plan: &Plan, sheet: &Sheet) -> Result<DataFrame, Failure> {
        let what = || format!("sheet {} ({}:{})", sheet.title, sheet.sql.file, sheet.sql.line);
        let (mut tables, mut read) = (Vec::new(), Vec::new());
        // a dataset the text does not even mention need not be opened
        for input in plan.inputs.iter().filter(|input| sheet.sql.text.contains(input.dataset().as_str())) {
            tables.push((input.dataset().clone(), input.scan(ports.lake, &input.files(ports.lake)?)?));
            read.push(input.dataset().as_str());
        }
        let text = sql::bind_day(&sheet.sql.text, plan.day);
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

    fn plan(&self, ports: &Ports<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let mut inputs = Vec::new();
        for input in &self.report.inputs {
            // not made yet: its step will wake this one
            let Some(table) = ports.lake.table(input)? else { return Ok(None) };
            inputs.push(table);
        }
        let day = day_before(trigger.scheduled_time, &self.report.timezone).map_err(|error| {
            Failure::new(
                Kind::Definition,
                format!("report {} has no day before {}", self.report.name, trigger.scheduled_time),
            )
            .because(error)
        })?;
        Ok(Some(Plan { day, inputs }))
    }

    fn size(&self, _: &Plan) -> Size {
        Size { partitions: self.report.sheets.len() as u64 + 1, rows: None, bytes: 0 }
    }

    fn draft(&self, ports: &Ports<'_>, plan: Plan, _: &str) -> Result<Option<(Drafted, Draft)>, Failure> {
        let mut sheets = Vec::new();
        for sheet in &self.report.sheets {
            sheets.push(SheetTable { sheet: sheet.clone(), rows: self.table(ports, &plan, sheet)? });
        }
        let rows: u64 = sheets.iter().map(|sheet| sheet.rows.height() as u64).sum();
        let mut files = build(self.report, plan.day, &sheets)
            .map_err(|error| Failure::new(Kind::Definition, format!("report {}: {error}", self.report.name)))?;
        files.reverse();
        let folder = (ports.folder)(&self.report.folder)?;
        let mut stale = Vec::new();
        for file in files {
            match folder.get(&Path::from(file.name.as_str())) {
                Ok(bytes) if bytes == file.bytes => {}
                Ok(_) | Err(object_store::Error::NotFound { .. }) => stale.push(file),
                Err(error) => return Err(unwritable(&folder, &file.name, error)),
            }
        }
        if stale.is_empty() {
            return Ok(None);
        }
        let inputs = plan.inputs.iter().map(|input| Input {
            dataset: input.dataset().to_string(),
            from_version: None,
            to_version: input.version(),
        });
        let drafted = Drafted {
            inputs: inputs.collect(),
            output: format!("{}/{}-{}.xlsx", self.report.folder.trim_end_matches('/'), self.report.file, plan.day),
            partitions: 1,
            rows: Balance { rows_in: rows, written: rows, ..Balance::default() },
            bytes: Bytes { read: 0, written: stale.iter().map(|file| file.bytes.len() as u64).sum() },
            notes: Vec::new(),
        };
        let version = plan.inputs.iter().map(Table::version).max().unwrap_or_default();
        Ok(Some((drafted, Draft { folder, files: stale, version })))
    }

    fn commit(&self, _: &Ports<'_>, draft: Draft, _: &mut Drafted) -> Result<Outcome, Failure> {
        for file in draft.files {
            let path = Path::from(file.name.as_str());
            draft.folder.put(&path, file.bytes).map_err(|error| unwritable(&draft.folder, &file.name, error))?;
        }
        Ok(Outcome::Committed(draft.version))
    }
}

fn unwritable(folder: &Store, name: &str, error: object_store::Error) -> Failure {
    LakeError::store(format!("{name} in {}", folder.place()), error).into()
}
