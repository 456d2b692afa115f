//! Groups the rows of quarantines by reason. Files are read one by one and without the texts of records, which are read for samples only.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use polars::prelude::{Column, DataFrame, DataType, Int32Chunked, PolarsError, StringChunked, col};
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{DataFile, Lake, Table};
use tidemark_pipeline::DatasetName;
use tidemark_pipeline::raw::{ARRIVED_IN, OBJECT, PAGE, ROW};

use super::counts::{collect, field};

/// The filter of rows.
#[derive(Default)]
pub(crate) struct Filter {
    /// A part of the reason, case-insensitive.
    pub reason: Option<String>,
    pub since: Option<Date>,
    /// Healed rows instead of broken ones.
    pub healed: bool,
}

/// The rows that broke one rule.
pub(crate) struct Reason {
    /// Name of the dataset, without `.quarantine`.
    pub dataset: String,
    pub column: Option<String>,
    pub rule: String,
    pub records: u64,
    pub days: Option<(Date, Date)>,
    /// When the first and the last of their objects arrived.
    pub came_in: Option<(Timestamp, Timestamp)>,
    /// Fingerprints of the contracts that were broken.
    pub contracts: BTreeSet<String>,
    pub samples: Vec<Sample>,
}

pub(crate) struct Sample {
    pub object: String,
    pub page: Option<i64>,
    pub row: Option<i64>,
    pub value: Option<String>,
    pub text: Option<String>,
}

impl Reason {
    /// `amount: min`
    pub(crate) fn name(&self) -> String {
        name(self.column.as_deref(), &self.rule)
    }

    /// Whether no contract can accept it, since it is not a record.
    pub(crate) fn is_permanent(&self) -> bool {
        self.column.is_none() && self.rule == "format"
    }
}

fn name(column: Option<&str>, rule: &str) -> String {
    column.map_or_else(|| rule.to_owned(), |column| format!("{column}: {rule}"))
}

/// Maximum number of samples per reason.
const SAMPLES: usize = 3;

/// The position of a sample: index of its file, and of its row in it.
type Place = (usize, usize);

/// The reasons in one quarantine, the most frequent first.
pub(crate) fn gather(lake: &Lake, quarantine: &Table, filter: &Filter) -> Result<Vec<Reason>, Error> {
    let files = quarantine.files(lake)?;
    let mut arrivals = Arrivals::new(lake, quarantine)?;
    let mut found: BTreeMap<(Option<String>, String), Found> = BTreeMap::new();
    for (nth, file) in files.iter().enumerate() {
        let object = file.partition.get(OBJECT).unwrap_or_default();
        let arrived = arrivals.version(object);
        let rows = Rows::read(lake, quarantine, file)?;
        for at in (0..rows.height).filter(|at| rows.healed_by.get(*at).is_some() == filter.healed) {
            let (column, rule) = (rows.columns.get(at), rows.rules.get(at).unwrap_or_default());
            let day = rows.days.get(at).and_then(day_of);
            if !filter.matches_reason(&name(column, rule)) || !filter.matches_day(day, || arrivals.day(arrived))? {
                continue;
            }
            let found = found.entry((column.map(str::to_owned), rule.to_owned())).or_default();
            found.records += 1;
            found.days = widened(found.days, day);
            found.arrived = widened(found.arrived, arrived);
            if let Some(contract) = rows.contracts.get(at).filter(|contract| !found.contracts.contains(*contract)) {
                found.contracts.insert(contract.to_owned());
            }
            if found.places.len() < SAMPLES {
                found.places.push((nth, at));
            }
        }
    }
    let mut reasons = Vec::new();
    for ((column, rule), Found { records, days, arrived, contracts, places }) in found {
        let samples = places.iter().map(|(file, at)| sample(lake, quarantine, &files[*file], *at));
        let samples = samples.collect::<Result<_, _>>()?;
        let came_in = match arrived {
            Some((first, last)) => arrivals.when(first)?.zip(arrivals.when(last)?),
            None => None,
        };
        let dataset = quarantine.dataset().base().to_owned();
        reasons.push(Reason { dataset, column, rule, records, days, came_in, contracts, samples });
    }
    reasons.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.name().cmp(&b.name())));
    Ok(reasons)
}

/// Totals of a reason.
#[derive(Default)]
struct Found {
    records: u64,
    days: Option<(Date, Date)>,
    /// First and last version of the raw dataset in which the objects arrived.
    arrived: Option<(i64, i64)>,
    contracts: BTreeSet<String>,
    places: Vec<Place>,
}

impl Filter {
    fn matches_reason(&self, name: &str) -> bool {
        self.reason.as_ref().is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase()))
    }

    /// A record without a day counts by its time of arrival. If that is unknown too, it is included.
    fn matches_day(
        &self,
        day: Option<Date>,
        came_in: impl FnOnce() -> Result<Option<Date>, Error>,
    ) -> Result<bool, Error> {
        let Some(since) = self.since else { return Ok(true) };
        let day = if day.is_some() { day } else { came_in()? };
        Ok(day.is_none_or(|day| day >= since))
    }
}

fn widened<T: Ord + Copy>(range: Option<(T, T)>, value: Option<T>) -> Option<(T, T)> {
    match (range, value) {
        (Some((first, last)), Some(value)) => Some((first.min(value), last.max(value))),
        (range, value) => range.or(value.map(|value| (value, value))),
    }
}

fn day_of(days: i32) -> Option<Date> {
    jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).ok()
}

/// The small columns of one file.
struct Rows {
    height: usize,
    columns: StringChunked,
    rules: StringChunked,
    contracts: StringChunked,
    healed_by: StringChunked,
    days: Int32Chunked,
}

impl Rows {
    fn read(lake: &Lake, quarantine: &Table, file: &DataFile) -> Result<Rows, Error> {
        let wanted = [
            col("column"),
            col("rule"),
            col("contract"),
            col("day").cast(DataType::Int32),
            field(quarantine, "healed_by", DataType::String),
        ];
        let rows = quarantine.scan(lake, std::slice::from_ref(file))?.select(wanted);
        let rows = collect(quarantine, rows)?;
        let read = || {
            let text = |name: &str| rows.column(name).and_then(|column| column.str().cloned());
            Ok(Rows {
                height: rows.height(),
                columns: text("column")?,
                rules: text("rule")?,
                contracts: text("contract")?,
                healed_by: text("healed_by")?,
                days: rows.column("day")?.i32()?.clone(),
            })
        };
        read().map_err(read_error)
    }
}

fn read_error(error: PolarsError) -> Error {
    Error::new(ErrorKind::Bug, "a quarantine has unexpected columns").because(error)
}

fn sample(lake: &Lake, quarantine: &Table, file: &DataFile, at: usize) -> Result<Sample, Error> {
    let page = field(quarantine, PAGE, DataType::Int64);
    let rows = quarantine.scan(lake, std::slice::from_ref(file))?.slice(i64::try_from(at).unwrap_or(i64::MAX), 1);
    let row = collect(quarantine, rows.select([page, col(ROW), col("value"), col("text")]))?;
    let number = |row: &DataFrame, name: &str| row.column(name).and_then(Column::i64).map(|values| values.get(0));
    let text =
        |row: &DataFrame, name: &str| row.column(name).and_then(|values| Ok(values.str()?.get(0).map(str::to_owned)));
    let read = || {
        Ok(Sample {
            object: file.partition.get(OBJECT).unwrap_or_default().to_owned(),
            page: number(&row, PAGE)?,
            row: number(&row, ROW)?,
            value: text(&row, "value")?,
            text: text(&row, "text")?,
        })
    };
    read().map_err(read_error)
}

/// When objects arrived: the time of the commit that added them.
struct Arrivals<'l> {
    lake: &'l Lake,
    raw: DatasetName,
    versions: BTreeMap<String, i64>,
    times: BTreeMap<i64, Option<Timestamp>>,
}

impl<'l> Arrivals<'l> {
    fn new(lake: &'l Lake, quarantine: &Table) -> Result<Arrivals<'l>, Error> {
        let raw = quarantine.dataset().raw();
        let mut versions = BTreeMap::new();
        for file in lake.table(&raw)?.map(|raw| raw.files(lake)).transpose()?.unwrap_or_default() {
            let version = file.partition.get(ARRIVED_IN).and_then(|text| text.parse().ok());
            if let (Some(object), Some(version)) = (file.partition.get(OBJECT), version) {
                versions.insert(object.to_owned(), version);
            }
        }
        Ok(Arrivals { lake, raw, versions, times: BTreeMap::new() })
    }

    /// The version of the raw dataset in which an object arrived. None if it is not in the raw dataset any more.
    fn version(&self, object: &str) -> Option<i64> {
        self.versions.get(object).copied()
    }

    /// The time of a version, which is read from the log only once.
    fn when(&mut self, version: i64) -> Result<Option<Timestamp>, Error> {
        if let Some(time) = self.times.get(&version) {
            return Ok(*time);
        }
        let time = self.lake.entry(&self.raw, version)?.and_then(|entry| entry.committed_at);
        self.times.insert(version, time);
        Ok(time)
    }

    fn day(&mut self, version: Option<i64>) -> Result<Option<Date>, Error> {
        let time = version.map(|version| self.when(version)).transpose()?.flatten();
        Ok(time.map(|time| time.to_zoned(TimeZone::UTC).date()))
    }
}
