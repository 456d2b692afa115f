//! `tidemark quarantine`: what broke its contract, by reason, and the way back. Where a record is in the end the steps decide.

use polars::prelude::{DataFrame, Expr, LazyFrame, PlSmallStr, col, lit};
use polars::prelude::{DataType, NULL};
use tidemark_flow::{Failure, Kind};
use tidemark_lake::{Lake, LakeError, Table};
use tidemark_pipeline::DatasetName;

mod list;
mod reasons;
mod replay;

pub(crate) use list::list;
pub(crate) use reasons::Asked;
pub(crate) use replay::replay;

/// Rows of a quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub broken: u64,
    pub healed: u64,
}

impl Counts {
    /// Reads one column, file by file.
    pub(crate) fn of(lake: &Lake, quarantine: &Table) -> Result<Counts, Failure> {
        let mut counts = Counts::default();
        for file in quarantine.files(lake)? {
            if !quarantine.schema().contains("healed_by") {
                counts.broken += file.rows;
                continue;
            }
            let rows = quarantine.scan(lake, std::slice::from_ref(&file))?.select([col("healed_by")]);
            let healed = collect(quarantine, rows)?
                .columns()
                .iter()
                .map(|column| column.len() - column.null_count())
                .sum::<usize>();
            counts.healed += healed as u64;
            counts.broken += file.rows.saturating_sub(healed as u64);
        }
        Ok(counts)
    }
}

/// A column of a quarantine; NULL where an earlier version of this program has made it without.
fn field(quarantine: &Table, name: &'static str, ty: DataType) -> Expr {
    if quarantine.schema().contains(name) { col(name) } else { lit(NULL).cast(ty).alias(PlSmallStr::from_static(name)) }
}

fn collect(quarantine: &Table, rows: LazyFrame) -> Result<DataFrame, Failure> {
    rows.collect().map_err(|error| match LakeError::of_query(quarantine.dataset().as_str(), error) {
        Ok(damage) => damage.into(),
        Err(error) => Failure::new(Kind::Bug, format!("{} cannot be read", quarantine.dataset())).because(error),
    })
}

/// The quarantines of the lake, or that of one dataset, named with or without `.quarantine`.
fn quarantines(lake: &Lake, dataset: Option<&str>) -> Result<Vec<Table>, Failure> {
    let all: Vec<DatasetName> = lake.datasets()?.into_iter().filter(DatasetName::is_quarantine).collect();
    let wanted = match dataset {
        None => all,
        Some(name) => {
            let wanted = crate::look::dataset(name)?.quarantine();
            if !all.contains(&wanted) {
                let message = format!("no quarantine of {} in the lake", wanted.base());
                return Err(Failure::new(Kind::Definition, message).hint(known(all.iter().map(DatasetName::base))));
            }
            vec![wanted]
        }
    };
    let tables = wanted.iter().map(|name| lake.table(name));
    Ok(tables.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn known<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => "nothing has gone through a contract yet; try: tidemark run".into(),
        names => format!("expected one of {}", names.join(", ")),
    }
}
