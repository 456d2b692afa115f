//! The quarantine tables, and how many of their rows are still broken.

use polars::prelude::{DataFrame, Expr, LazyFrame, PlSmallStr, col, lit};
use polars::prelude::{DataType, NULL};
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{DataFile, Lake, LakeError, Table};
use tidemark_pipeline::DatasetName;

/// Row counts of a quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub broken: u64,
    pub healed: u64,
}

/// Files read concurrently: in a bucket, each takes tens of milliseconds whatever its size.
const AHEAD: usize = 16;

impl Counts {
    /// Counts the rows, by reading one column of every file.
    pub(crate) fn read(lake: &Lake, quarantine: &Table) -> Result<Counts, Error> {
        let files = quarantine.files(lake)?;
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        if !quarantine.schema().contains("healed_by") {
            return Ok(Counts { broken: rows, healed: 0 });
        }
        let healed_in = |file: &DataFile| {
            let rows = quarantine.scan(lake, std::slice::from_ref(file))?.select([col("healed_by").count()]);
            let counted = collect(quarantine, rows)?;
            let count = counted.columns().first().and_then(|count| count.get(0).ok()?.extract::<u64>());
            Ok::<_, Error>(count.unwrap_or_default())
        };
        let healed: u64 = std::thread::scope(|scope| {
            let of = |nth| {
                let files = &files;
                scope.spawn(move || files.iter().skip(nth).step_by(AHEAD).map(healed_in).sum::<Result<u64, Error>>())
            };
            let workers: Vec<_> = (0..AHEAD.min(files.len())).map(of).collect();
            let panicked = |_| Err(Error::new(ErrorKind::Bug, format!("counting {} panicked", quarantine.dataset())));
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(panicked)).sum::<Result<u64, Error>>()
        })?;
        Ok(Counts { broken: rows.saturating_sub(healed), healed })
    }
}

/// A column of a quarantine. NULL if the table was created without it by an earlier version of this program.
pub(super) fn field(quarantine: &Table, name: &'static str, ty: DataType) -> Expr {
    if quarantine.schema().contains(name) { col(name) } else { lit(NULL).cast(ty).alias(PlSmallStr::from_static(name)) }
}

pub(super) fn collect(quarantine: &Table, rows: LazyFrame) -> Result<DataFrame, Error> {
    rows.collect().map_err(|error| match LakeError::from_query(quarantine.dataset().as_str(), error) {
        Ok(damage) => damage.into(),
        Err(error) => Error::new(ErrorKind::Bug, format!("{} cannot be read", quarantine.dataset())).because(error),
    })
}

/// The quarantines of the lake, or that of one dataset, named with or without `.quarantine`.
pub(super) fn quarantines(lake: &Lake, dataset: Option<&str>) -> Result<Vec<Table>, Error> {
    let all: Vec<DatasetName> = lake.datasets()?.into_iter().filter(DatasetName::is_quarantine).collect();
    let wanted = match dataset {
        None => all,
        Some(name) => {
            let wanted = crate::inspect::dataset(name)?.quarantine();
            if !all.contains(&wanted) {
                let message = format!("no quarantine of {} in the lake", wanted.base());
                return Err(Error::new(ErrorKind::Definition, message).hint(known(all.iter().map(DatasetName::base))));
            }
            vec![wanted]
        }
    };
    let tables = wanted.iter().map(|name| lake.table(name));
    Ok(tables.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

pub(super) fn known<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => "no records have been checked by a contract yet; try: tidemark run".into(),
        names => format!("expected one of {}", names.join(", ")),
    }
}
