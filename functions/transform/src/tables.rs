//! Cache of datasets at fixed versions, so that a process loads each only once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tidemark_flow::Error;
use tidemark_lake::{Lake, Table};
use tidemark_pipeline::DatasetName;

#[derive(Default)]
pub struct Tables(Mutex<HashMap<(DatasetName, i64), Table>>);

impl Tables {
    /// The dataset at the given version.
    pub(crate) fn at(&self, lake: &Lake, dataset: &DatasetName, version: i64) -> Result<Table, Error> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(&(dataset.clone(), version)) {
            return Ok(table.clone());
        }
        let table = lake.table_at(dataset, version)?;
        tables.insert((dataset.clone(), version), table.clone());
        Ok(table)
    }
}
