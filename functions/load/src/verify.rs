//! Checks that a table has the rows of its dataset: reads both, and compares counts and sums of hashes, partition by partition.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemark_flow::{Context, Error, Secrets};
use tidemark_pipeline::{Pipeline, Postgres};

use crate::change::rows;
use crate::postgres::LoadPostgres;
use crate::targets::postgres::error::LoadFault;
use crate::targets::sums::{Sum, Sums};

/// The result of comparing a table with its dataset at the version that the table has.
#[derive(Debug, Serialize)]
pub struct Verification {
    pub pipeline: String,
    pub target: String,
    /// Database and table.
    pub table: String,
    pub dataset: String,
    /// The version that was compared; `None` if nothing has been loaded yet.
    pub version: Option<i64>,
    /// The version the dataset is at.
    pub latest_version: Option<i64>,
    pub partitions: Vec<PartitionComparison>,
    /// Columns of which only NULLs were compared, because the server changes the form of their values.
    #[serde(rename = "loosely")]
    pub null_checked: Vec<String>,
}

/// The comparison of one partition.
#[derive(Debug, Serialize)]
pub struct PartitionComparison {
    /// The partition's value; empty if the dataset has no partitions.
    pub partition: String,
    /// Rows of the dataset, without those that the database rejected.
    pub lake_rows: u64,
    pub table_rows: u64,
    pub refused: u64,
    pub same: bool,
}

impl Verification {
    pub fn is_same(&self) -> bool {
        self.version.is_some() && self.partitions.iter().all(|partition| partition.same)
    }
}

/// Compares the table of a target with its dataset.
///
/// # Errors
/// Errors of the database and of the lake. A difference is not an error.
pub fn verify(
    context: &Context<'_>,
    secrets: &dyn Secrets,
    pipeline: &Pipeline,
    target: &Postgres,
) -> Result<Verification, Error> {
    let step = LoadPostgres::new(pipeline, target, secrets);
    let dataset = &target.to.dataset;
    let latest = context.lake.table(dataset)?;
    let database = step.database()?;
    let mut verified = Verification {
        pipeline: pipeline.name.to_string(),
        target: target.name.clone(),
        table: step.table(&database),
        dataset: dataset.to_string(),
        version: None,
        latest_version: latest.as_ref().map(tidemark_lake::Table::version),
        partitions: Vec::new(),
        null_checked: Vec::new(),
    };
    if latest.is_none() {
        return Ok(verified);
    }
    let place = step.place(&database);
    // schema and partitioning at the version that the table has
    let schema_at = |version| {
        let table = context.lake.table_at(dataset, version).map_err(Error::from)?;
        let by = table.partition_by().into_iter().next().map(|column| column.to_string());
        Ok((table.schema().clone(), by))
    };
    let failed = |fault: LoadFault| fault.into_error(&place);
    let session = database.connect().map_err(failed)?;
    let Some(snapshot) = database.snapshot(session, dataset, &schema_at).map_err(failed)? else {
        return Ok(verified);
    };
    let version = snapshot.state.version;
    (verified.version, verified.null_checked) = (Some(version), snapshot.null_checked());
    let table = context.lake.table_at(dataset, version)?;
    let by = table.partition_by().into_iter().next();
    let mut sides: BTreeMap<Vec<u8>, (String, Sum, u64)> = BTreeMap::new();
    for (partition, files) in table.partitions(context.lake)? {
        let (mut sums, mut refused) = (Sums::new(), 0);
        for frame in rows(context.lake, &table, files) {
            refused += snapshot.add(&frame?, &mut sums).map_err(failed)?;
        }
        let text =
            by.as_ref().map_or(String::new(), |column| partition.get(column.as_str()).unwrap_or("NULL").to_owned());
        if sums.is_empty() && refused > 0 {
            let same = PartitionComparison { partition: text, lake_rows: 0, table_rows: 0, refused, same: true };
            verified.partitions.push(same);
            continue;
        }
        for (value, sum) in sums {
            let side = sides.entry(value).or_insert_with(|| (text.clone(), Sum::default(), 0));
            side.1.join(sum);
            side.2 += std::mem::take(&mut refused);
        }
    }
    let mut theirs = Sums::new();
    snapshot.add_table(&mut theirs).map_err(failed)?;
    for value in theirs.keys() {
        sides.entry(value.clone()).or_insert_with(|| (snapshot.partition_text(value), Sum::default(), 0));
    }
    for (value, (partition, ours, refused)) in sides {
        let theirs = theirs.get(&value).copied().unwrap_or_default();
        let (lake_rows, table_rows) = (ours.rows, theirs.rows);
        verified.partitions.push(PartitionComparison {
            partition,
            lake_rows,
            table_rows,
            refused,
            same: ours == theirs,
        });
    }
    verified.partitions.sort_by(|one, other| one.partition.cmp(&other.partition));
    Ok(verified)
}
