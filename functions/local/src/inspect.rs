//! The read-only verbs `check`, `runs`, `show` and `sql`. `status` is in its own file.

use polars::prelude::IntoLazy as _;
use serde_json::{Value, json};
use tidemark_flow::{DefinitionErrors, Error, ErrorKind, RunRecord, Selection, Status};
use tidemark_lake::{Lake, LakeError, Table};
use tidemark_pipeline::DatasetName;

use crate::args::Common;
use crate::definitions::{load, parameters_of};
use crate::environment::LocalEnvironment;
use crate::exit::{Exit, mistakes};
use crate::{frames, print};

pub(crate) fn check(common: &Common) -> anyhow::Result<Exit> {
    match load(common, Selection::CheckOnly) {
        Ok(graph) => {
            if common.json {
                let names: Vec<_> = graph.pipelines().iter().map(|pipeline| pipeline.name.as_str()).collect();
                print::json(&json!({"pipelines": names, "mistakes": []}))?;
            } else {
                print::line(graph.draw().trim_end());
                for pipeline in graph.pipelines() {
                    for parameter in parameters_of(common, pipeline.name.as_str()) {
                        print::line(&format!("  {}: {parameter}", pipeline.name));
                    }
                }
                print::line(&format!("\n{} pipelines, no mistakes", graph.pipelines().len()));
            }
            Ok(Exit::Done)
        }
        Err(error) => report_definition_errors(common, error),
    }
}

/// Reports mistakes in pipeline files in the way of `check`.
pub(crate) fn report_definition_errors(common: &Common, error: Error) -> anyhow::Result<Exit> {
    let error = anyhow::Error::from(error);
    match mistakes(&error) {
        Some(DefinitionErrors(mistakes)) if common.json => {
            print::json(&json!({"pipelines": [], "mistakes": mistakes}))?;
            Ok(Exit::Usage)
        }
        _ => Err(error),
    }
}

pub(crate) fn runs(common: &Common, pipeline: Option<&str>, failed: bool, limit: usize) -> anyhow::Result<Exit> {
    let is_wanted = |bytes: &bytes::Bytes| match serde_json::from_slice::<RunRecord>(bytes) {
        Ok(record) => {
            pipeline.is_none_or(|name| record.pipeline == name) && (!failed || record.status == Status::Failed)
        }
        Err(_) => pipeline.is_none() && !failed,
    };
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let (mut records, mut lines) = (Vec::<Value>::new(), Vec::new());
    for bytes in lake.runs_matching(limit, is_wanted).map_err(Error::from)? {
        // an unreadable record, truncated by a crash, must not hide the others
        let Ok(record) = serde_json::from_slice::<RunRecord>(&bytes) else {
            lines.push(vec!["(unreadable)".to_owned()]);
            continue;
        };
        lines.push(vec![
            record.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            format!("{} {}", record.pipeline, record.step),
            record.status.to_string().replace('_', " "),
            print::count(record.rows.rows_in),
            print::count(record.rows.quarantined),
            format!("{:.2} s", record.duration_ms as f64 / 1000.0),
            format!("${:.5}", record.cost_usd),
            record.error.as_ref().map(|error| error.message.chars().take(80).collect()).unwrap_or_default(),
        ]);
        records.push(serde_json::to_value(&record)?);
    }
    if common.json {
        print::json(&json!({"runs": records}))?;
    } else {
        print::table(
            &["STARTED (UTC)", "STEP", "STATUS", "ROWS", "QUARANTINED", "TIME", "COST", "ERROR"],
            &[3, 4, 5, 6],
            lines,
        );
    }
    Ok(Exit::Done)
}

pub(crate) fn dataset(name: &str) -> Result<DatasetName, Error> {
    name.parse().map_err(|error| Error::new(ErrorKind::Definition, "not a dataset").because(error))
}

fn existing(lake: &Lake, name: &DatasetName) -> Result<Table, Error> {
    match lake.existing(name) {
        Err(error @ LakeError::NoSuchDataset(_)) => {
            let names: Vec<_> = lake.datasets()?.iter().map(DatasetName::to_string).collect();
            Err(Error::from(error).hint(format!("the lake has {}", names.join(", "))))
        }
        other => Ok(other?),
    }
}

pub(crate) fn show(common: &Common, name: &str, limit: usize) -> anyhow::Result<Exit> {
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let name = dataset(name)?;
    let table = existing(&lake, &name)?;
    let files = table.files(&lake).map_err(Error::from)?;
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    // only as many files as are needed
    let mut enough = 0;
    let few: Vec<_> = files
        .iter()
        .take_while(|file| {
            let wanted = enough < limit as u64;
            enough += file.rows;
            wanted
        })
        .cloned()
        .collect();
    let rows_of = table.scan(&lake, &few).map_err(Error::from)?.limit(u32::try_from(limit).unwrap_or(u32::MAX));
    let shown = rows_of.collect().map_err(|error| match LakeError::from_query(name.as_str(), error) {
        Ok(damage) => damage.into(),
        Err(error) => Error::new(ErrorKind::Data, format!("dataset {name} cannot be shown")).because(error),
    })?;
    if common.json {
        print::json(&frames::to_json(&shown))?;
    } else {
        frames::print(&shown);
        print::line(&format!(
            "\n{} of {} rows, version {}",
            print::count(shown.height() as u64),
            print::count(rows),
            table.version()
        ));
        let types = table.schema().iter().map(|(name, ty)| format!("{name} {}", frames::type_name(ty)));
        print::line(&types.collect::<Vec<_>>().join(", "));
    }
    Ok(Exit::Done)
}

pub(crate) fn history(common: &Common, name: &str, limit: usize) -> anyhow::Result<Exit> {
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let name = dataset(name)?;
    existing(&lake, &name)?;
    let entries = lake.history(&name, limit).map_err(Error::from)?;
    let columns = ["version", "committed_at", "operation", "files_added", "files_removed", "step", "run_id", "rows"];
    let types = ["int64", "datetime", "string", "int64", "int64", "string", "string", "string"];
    let rows: Vec<Vec<Value>> = entries
        .iter()
        .map(|entry| {
            let info = entry.info.as_ref();
            vec![
                json!(entry.version),
                json!(entry.committed_at),
                json!(entry.operation),
                json!(entry.files_added),
                json!(entry.files_removed),
                json!(info.map(|info| &info.step)),
                json!(info.map(|info| &info.run_id)),
                json!(info.map(|info| &info.balance)),
            ]
        })
        .collect();
    if common.json {
        let columns: Vec<_> = columns.iter().zip(types).map(|(name, ty)| json!({"name": name, "type": ty})).collect();
        print::json(&json!({"columns": columns, "rows": rows}))?;
    } else {
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Object(balance) => balance_text(balance),
            other => other.to_string(),
        };
        let rows = rows.iter().map(|row| row.iter().map(text).collect()).collect();
        let header: Vec<String> = columns.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
        print::table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &[0, 3, 4], rows);
    }
    Ok(Exit::Done)
}

/// The parts of a balance that are not zero.
fn balance_text(balance: &serde_json::Map<String, Value>) -> String {
    let parts = balance.iter().filter(|(_, value)| value.as_u64().is_some_and(|n| n > 0));
    parts
        .map(|(name, value)| format!("{} {name}", print::count(value.as_u64().unwrap_or_default())))
        .collect::<Vec<_>>()
        .join(", ")
}

pub(crate) fn sql(common: &Common, query: &str) -> anyhow::Result<Exit> {
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let (mut tables, mut read) = (Vec::new(), Vec::new());
    for name in lake.datasets().map_err(Error::from)? {
        // a dataset whose name is not in the query need not be opened
        if !query.contains(name.as_str()) {
            tables.push((name, polars::prelude::DataFrame::empty().lazy()));
            continue;
        }
        let Some(table) = lake.table(&name).map_err(Error::from)? else { continue };
        let files = table.files(&lake).map_err(Error::from)?;
        read.push(name.to_string());
        tables.push((name, table.scan(&lake, &files).map_err(Error::from)?));
    }
    let rows = tidemark_transform::sql::query(query, tables)
        .map_err(|error| Error::new(ErrorKind::Definition, format!("sql: {error}")))?
        .collect()
        .map_err(|error| match LakeError::from_query(&read.join(" or "), error) {
            Ok(damage) => Error::from(damage),
            Err(error) => Error::new(ErrorKind::Definition, format!("sql: {error}")),
        })?;
    if common.json {
        print::json(&frames::to_json(&rows))?;
    } else {
        frames::print(&rows);
        print::line(&format!("\n{} rows", print::count(rows.height() as u64)));
    }
    Ok(Exit::Done)
}
