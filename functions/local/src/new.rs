//! `tidemark new`: creates a pipeline file from a sample of a source. The file works as it is; comments in it say what was guessed, and why.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use ingest::files::{self, Input, ReadError};
use polars::prelude::DataFrame;
use serde_json::json;
use tidemark_flow::{Error, ErrorKind, Selection, is_bucket};
use tidemark_pipeline::raw::{FAULT, ORIGIN, TEXT};
use tidemark_pipeline::{Csv, DatasetName, Encoding, Format, PipelineName, SourceFile, read};
use tidemark_transform::RawLayout;

use crate::args::Common;
use crate::definitions::load;
use crate::exit::Exit;
use crate::print;

mod api;
mod choice;
mod column;
mod dates;
mod dialect;
mod draft;
mod guess;
mod names;
mod sample;

use draft::{Draft, quote, type_name};
use sample::{Sample, fields_of_columns, fields_of_records};

pub(crate) fn new(common: &Common, name: &str, from: &str) -> anyhow::Result<Exit> {
    let name: PipelineName = name.parse().map_err(|error| {
        Error::new(ErrorKind::Definition, "not a pipeline's name")
            .because(error)
            .hint("as in: tidemark new daily-orders --from orders.csv")
    })?;
    let path = common.pipelines.join(format!("{name}.toml"));
    if path.exists() {
        return Err(taken(&path).into());
    }
    refuse_dataset(common, &name)?;
    let sample = match from.starts_with("http://") || from.starts_with("https://") {
        true => api::sample(from)?,
        false => sample_of_file(from)?,
    };
    let draft = Draft::from_sample(&name, &sample)?;
    let shown = path.display().to_string();
    if let Err(mistakes) = SourceFile::new(&shown, draft.text.as_bytes())
        .map_err(|mistake| vec![mistake])
        .and_then(|file| read(&file, &|_| None, &|_| Err("no such file".into())).map(drop))
    {
        let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
        let message = format!("the generated file is not a valid pipeline: {first}");
        return Err(Error::new(ErrorKind::Bug, message).hint("please report this; nothing was written").into());
    }
    write(&path, &draft.text)?;
    print_draft(common, &name, &shown, &sample, &draft)?;
    Ok(Exit::Done)
}

fn taken(path: &Path) -> Error {
    Error::new(ErrorKind::Definition, format!("{} already exists", path.display()))
        .hint("choose another name, or move the file away")
}

/// Refuses a name whose dataset is made by another pipeline already. Not checked if the pipeline files have mistakes.
fn refuse_dataset(common: &Common, name: &PipelineName) -> Result<(), Error> {
    let Ok(graph) = load(common, Selection::CheckOnly) else { return Ok(()) };
    let dataset: Result<DatasetName, _> = name.as_str().replace('-', "_").parse();
    match dataset.ok().and_then(|dataset| Some((graph.producer(&dataset)?.0.name.clone(), dataset))) {
        Some((producer, dataset)) => {
            let message = format!("pipeline {producer} already produces dataset {dataset}");
            Err(Error::new(ErrorKind::Definition, message).hint("choose another name for the pipeline"))
        }
        None => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => Error::new(ErrorKind::Refused, format!("{} cannot be written", path.display())).because(error),
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // an incomplete file would make every later load of the folder fail
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

fn print_draft(common: &Common, name: &PipelineName, file: &str, sample: &Sample, draft: &Draft) -> anyhow::Result<()> {
    let key = draft.choices.key.as_ref().map(|key| key.column.as_str());
    if common.json {
        let columns: Vec<_> = draft
            .columns
            .iter()
            .map(|draft| json!({"name": draft.name, "type": type_name(draft.guess.ty), "from": draft.from}))
            .collect();
        let key: Vec<&str> = key.into_iter().collect();
        let rows = sample.raw.height();
        return print::json(&json!({"file": file, "columns": columns, "key": key, "rows_sampled": rows}));
    }
    print::line(&format!(
        "{file}: {} columns, from {} records of {}\n",
        draft.columns.len(),
        print::count(sample.raw.height() as u64),
        sample.title
    ));
    let lines = draft.columns.iter().map(|draft| {
        let notes = draft.guess.notes.join("; ");
        vec![draft.name.clone(), type_name(draft.guess.ty), print::cut(&draft.from, 30), print::cut(&notes, 60)]
    });
    print::table(&["COLUMN", "TYPE", "FROM", "GUESSED BY"], &[], lines.collect());
    print::line("");
    print::line(&match &draft.choices.key {
        Some(key) => format!("key {}: {}", key.column, key.seen),
        None => "no key: every row is kept".into(),
    });
    if draft.broken > 0 {
        print::line(&format!(
            "{} of the records cannot be read, and will be in quarantine",
            print::count(draft.broken)
        ));
    }
    let folder = match common.pipelines.to_str() {
        Some("infra/pipelines") | None => String::new(),
        Some(folder) => format!(" --pipelines {folder}"),
    };
    print::line("\nNext:");
    print::line(&format!("  tidemark check{folder}"));
    print::line(&format!("  tidemark run {name}{folder}"));
    Ok(())
}

/// Maximum number of records in a sample.
const RECORDS: usize = 10_000;

/// Stops reading when the sample is complete.
struct Enough;

impl std::fmt::Display for Enough {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("enough has been read")
    }
}

/// Samples a local file.
fn sample_of_file(from: &str) -> Result<Sample, Error> {
    let refuse = |message: String, hint: &str| Err(Error::new(ErrorKind::Definition, message).hint(hint));
    if is_bucket(from) {
        return refuse(
            format!("{from} is in a bucket"),
            "download one of its files, create the pipeline from that, and change its `path`",
        );
    }
    if from.contains(['*', '?', '[', '{']) || Path::new(from).is_dir() {
        return refuse(
            format!("{from} is not a single file"),
            "name one of the files, and change `path` in the pipeline afterwards",
        );
    }
    let path = Path::new(from);
    let object = path.file_name().and_then(|name| name.to_str()).unwrap_or(from);
    let mut found = dialect::find(path, object)?;
    let (mut raw, mut is_whole) = frames(path, object, found.format, &found.csv)?;
    if found.format == Format::Csv && found.csv.encoding == Encoding::Utf8 && faults(&raw) > 0 {
        // the first bytes may be ASCII only, with Windows-1252 characters later
        let csv = Csv { encoding: Encoding::Windows1252, ..found.csv.clone() };
        let (other, other_is_whole) = frames(path, object, found.format, &csv)?;
        if faults(&other) < faults(&raw) {
            (raw, is_whole, found.csv) = (other, other_is_whole, csv);
        }
    }
    let header = if found.has_header_record { Some(first_record(&raw)) } else { None };
    let records = if header.is_some() { raw.slice(1, raw.height()) } else { raw.clone() };
    let (layout, fields) = match found.format {
        Format::Ndjson => {
            let texts = raw.column(TEXT).and_then(|column| column.str().cloned());
            let texts = texts.map_err(|error| Error::new(ErrorKind::Bug, "records without text").because(error))?;
            (RawLayout::Json, fields_of_records(texts.iter().flatten()))
        }
        Format::Csv | Format::Parquet => (RawLayout::Columns, fields_of_columns(&records)),
    };
    if fields.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("{from} has no record to guess the columns from"))
            .hint("choose a file with records"));
    }
    let source = source_lines(from, &found);
    // `raw` includes the header record, so that the contract is tested on it too
    Ok(Sample { title: from.to_owned(), source, raw, layout, fields, is_whole, header, is_api: false })
}

fn frames(path: &Path, object: &str, format: Format, csv: &Csv) -> Result<(DataFrame, bool), Error> {
    let file = dialect::open(path)?;
    // Parquet is mapped; everything else is read from front to back
    let input = if format == Format::Parquet { Input::File(file) } else { Input::Stream(Box::new(file)) };
    let mut raw: Option<DataFrame> = None;
    let mut emit = |batch: files::Batch| {
        let have = raw.as_ref().map_or(0, DataFrame::height);
        let is_enough = have + batch.rows.height() > RECORDS;
        let rows = batch.rows.head(Some(RECORDS - have));
        match &mut raw {
            // frames of one file have the same columns
            Some(raw) => raw.vstack_mut_owned(rows).map(|_| ()).map_err(|_| Enough)?,
            None => raw = Some(rows),
        }
        if is_enough { Err(Enough) } else { Ok(()) }
    };
    let is_whole = match files::read(input, object, format, csv, None, &mut emit) {
        Ok(_) => true,
        Err(ReadError::Emit(Enough)) => false,
        Err(error) => return Err(dialect::read_error(object, error)),
    };
    Ok((raw.unwrap_or_else(DataFrame::empty), is_whole))
}

/// The number of broken records.
fn faults(raw: &DataFrame) -> usize {
    raw.column(FAULT).map_or(0, |faults| faults.len() - faults.null_count())
}

fn first_record(raw: &DataFrame) -> Vec<String> {
    let fields = raw.columns().iter().take_while(|column| !ORIGIN.contains(&column.name().as_str()));
    fields
        .map(|column| column.str().ok().and_then(|texts| texts.get(0)).unwrap_or_default().trim().to_owned())
        .collect()
}

fn source_lines(path: &str, found: &dialect::Found) -> Vec<String> {
    let mut lines = vec!["kind = \"files\"".to_owned(), format!("path = {}   # or a folder, or a glob", quote(path))];
    if !found.is_named {
        let format = match found.format {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
            Format::Parquet => "parquet",
        };
        lines.push(format!("format = \"{format}\""));
    }
    let standard = Csv::default();
    let Csv { delimiter, quote: mark, header, encoding } = &found.csv;
    let mut dialect = Vec::new();
    if *delimiter != standard.delimiter {
        dialect.push(format!("delimiter = {}", quote(&char::from(*delimiter).to_string())));
    }
    if *mark != standard.quote {
        dialect.push(format!("quote = {}", quote(&mark.map(char::from).map(String::from).unwrap_or_default())));
    }
    if let tidemark_pipeline::Header::Given(columns) = header {
        let columns: Vec<String> = columns.iter().map(|column| quote(column.as_str())).collect();
        dialect.push(format!("header = false, columns = [{}]", columns.join(", ")));
    }
    if *encoding != standard.encoding {
        dialect.push("encoding = \"windows-1252\"".into());
    }
    if !dialect.is_empty() {
        lines.push(format!("csv = {{ {} }}", dialect.join(", ")));
    }
    lines
}
