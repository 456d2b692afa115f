//! Run records: one small JSON object per run, written once, when the run ends.

use jiff::civil::Date;

use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;

impl Lake {
    /// Writes a run record. An existing record is not overwritten.
    pub fn put_run(&self, day: Date, run_id: &str, record: Vec<u8>) -> Result<(), LakeError> {
        let key = Key::Run(day, run_id).path();
        self.store().create(&key, record).map(drop).map_err(|source| LakeError::store(key.to_string(), source))
    }

    /// Reads several run records. One result for each id, in the given order; None if there is no record.
    pub fn runs_by_id(&self, ids: &[(Date, String)]) -> Vec<Result<Option<bytes::Bytes>, LakeError>> {
        let keys: Vec<_> = ids.iter().map(|(day, run_id)| Key::Run(*day, run_id).path()).collect();
        let found = self.store().get_all(keys.clone()).into_iter().zip(keys);
        let read = found.map(|(found, key)| match found {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(LakeError::store(key.to_string(), source)),
        });
        read.collect()
    }

    /// Ids of the runs that started on a day (UTC) and sort after `after`, in order.
    pub fn run_ids_on_day(&self, day: Date, after: &str) -> Result<Vec<String>, LakeError> {
        let found = self.store().list_after(&Key::RunDay(day).path(), &Key::Run(day, after).path());
        let found = found.map_err(|source| LakeError::store("run records", source))?;
        let id =
            |object: &object_store::ObjectMeta| Some(object.location.filename()?.strip_suffix(".json")?.to_owned());
        Ok(found.iter().filter_map(id).filter(|id| id.as_str() > after).collect())
    }

    /// The newest run records, newest first, at most `limit`; run ids sort by time.
    pub fn runs(&self, limit: usize) -> Result<Vec<bytes::Bytes>, LakeError> {
        self.runs_matching(limit, |_| true)
    }

    /// The newest run records for which `is_wanted` holds, newest first, at most `limit`.
    pub fn runs_matching(
        &self,
        limit: usize,
        is_wanted: impl Fn(&bytes::Bytes) -> bool,
    ) -> Result<Vec<bytes::Bytes>, LakeError> {
        let failed = |source| LakeError::store("run records", source);
        let mut found = Vec::new();
        let mut days = self.store().folders(&Key::Runs.path()).map_err(failed)?;
        while found.len() < limit
            && let Some(day) = days.pop()
        {
            let records = self.store().list(Some(&day)).map_err(failed)?;
            for record in records.iter().rev() {
                if found.len() == limit {
                    break;
                }
                found.extend(Some(self.store().get(&record.location).map_err(failed)?).filter(&is_wanted));
            }
        }
        Ok(found)
    }
}
