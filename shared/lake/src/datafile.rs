//! Data files, as the log names and describes them.

use std::sync::Arc;

use delta_kernel::arrow::array::{
    ArrayRef, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
};
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::scan::state::ScanFile;
use delta_kernel::{EngineData, KernelResult};
use serde::{Deserialize, Serialize};
use tidemark_pipeline::ColumnName;

use crate::partition::Partition;
use crate::schema::encode_column;

pub(crate) mod stats;
pub(crate) mod writer;

use stats::FileStats;

/// A data file, written or found in the log. It can be serialized as part of a receipt and read back, and gives the same commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Path relative to the table's folder.
    pub path: String,
    pub partition: Partition,
    pub rows: u64,
    /// Size of the stored object.
    pub bytes: u64,
    /// Statistics of a newly written file. `None` for a file found in the log, which already holds them.
    stats: Option<Arc<FileStats>>,
}

impl DataFile {
    pub(crate) fn from_scan(file: ScanFile, columns: &[ColumnName]) -> DataFile {
        let value = |column: &ColumnName| {
            let value = file.partition_values.get(&encode_column(column.as_str())).cloned();
            (column.to_string(), value)
        };
        DataFile {
            partition: Partition::from_log(columns.iter().map(value)),
            rows: file.stats.map_or(0, |stats| stats.num_records),
            bytes: file.size.unsigned_abs(),
            path: file.path,
            stats: None,
        }
    }

    /// The `add` action of this file, one row of the kernel's add-files schema.
    pub(crate) fn add_action(&self) -> KernelResult<Box<dyn EngineData>> {
        let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
        let mut values = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
        for (column, value) in self.partition.values() {
            values.keys().append_value(encode_column(column));
            values.values().append_option(value.as_deref());
        }
        values.append(true)?;
        let long = |value: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![value.cast_signed()])) };
        let path: ArrayRef = Arc::new(StringArray::from(vec![self.path.as_str()]));
        let values: ArrayRef = Arc::new(values.finish());
        // the path is derived from the content, so the modification time is always 0: the same rows give the same commit
        let mut columns = vec![
            ("path", path),
            ("partitionValues", values),
            ("size", long(self.bytes)),
            ("modificationTime", long(0)),
        ];
        if let Some(stats) = &self.stats {
            columns.push(("stats", stats.to_arrow(self.rows)?));
        }
        Ok(Box::new(ArrowEngineData::new(RecordBatch::try_from_iter(columns)?)))
    }
}
