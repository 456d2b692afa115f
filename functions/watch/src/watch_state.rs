//! The watcher's state: the state of each step and of each dataset. It is derived only from run records and heartbeats, so a watcher
//! without it reads the last days again.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
#[cfg(test)]
pub(crate) use tests::{key, run};
use tidemark_flow::{Activity, Heartbeat, Output, RunRecord, Status};
use tidemark_pipeline::{Budget, DatasetName, StepId};

use crate::step_key::StepKey;
use crate::step_state::{QuarantineSpike, RunInProgress, StepState};

/// Number of runs whose median is the usual share of quarantined rows.
const USUAL: usize = 10;

/// The watcher's state as stored in the lake.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchState {
    /// When this state was started. Of the time before, only the records of some days are known.
    #[serde(default)]
    pub began: Timestamp,
    /// Run records have been read up to this time, by their ids.
    pub read_until: Timestamp,
    /// Ids of the records read recently, so that records written late are found without reading others twice.
    pub read: BTreeSet<String>,
    pub pipelines: BTreeMap<String, PipelineState>,
    #[serde(deserialize_with = "deserialize_steps")]
    pub steps: BTreeMap<StepKey, StepState>,
    /// The latest known version of each dataset.
    pub datasets: BTreeMap<String, DatasetState>,
    /// Unreadable run records, by run id.
    pub unreadable: BTreeMap<String, UnreadableRecord>,
    /// Dead letters that name no known step.
    #[serde(rename = "strays")]
    pub unroutable: Vec<UnroutableEvent>,
    /// Heartbeats by run id, until the record of the run has been read.
    #[serde(rename = "marked", default)]
    pub heartbeats: BTreeMap<String, SeenHeartbeat>,
    /// Incidents that need no attention, by object name, with the tag of the version that was checked.
    pub at_rest: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PipelineState {
    /// Since when this pipeline is watched with this schedule.
    pub since: Timestamp,
    pub schedule: String,
    /// Scheduled times up to this one have been started, or need not be.
    pub started: Option<Timestamp>,
    /// The scheduled time for which the watcher has started the pipeline, and when it did so.
    #[serde(rename = "helped", default, skip_serializing_if = "Option::is_none")]
    pub restarted: Option<(Timestamp, Timestamp)>,
    /// When a process started to catch up on missed times.
    #[serde(rename = "made_up_at", default, skip_serializing_if = "Option::is_none")]
    pub catch_up_started_at: Option<Timestamp>,
    /// When its datasets were last checked.
    #[serde(rename = "looked_at", default)]
    pub checked_at: Timestamp,
    /// When a watcher last had it among its pipelines, approximately.
    #[serde(default)]
    pub seen_at: Timestamp,
    /// Shares of rows that the latest runs put into quarantine, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetState {
    /// The latest version that added or removed files; -1 if there is none yet.
    pub version: i64,
    /// The latest version of all.
    pub latest: i64,
    /// When the version that added or removed files was committed.
    pub at: Timestamp,
    /// The scheduled time of the run that committed it, if known.
    pub scheduled_time: Option<Timestamp>,
    /// Event time up to which it is complete, as reported by its runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
}

impl Default for DatasetState {
    fn default() -> DatasetState {
        DatasetState { version: -1, latest: -1, at: Timestamp::UNIX_EPOCH, scheduled_time: None, watermark: None }
    }
}

impl DatasetState {
    fn apply(&mut self, version: i64, output: &Output, record: &RunRecord) {
        // ignore records older than the last commit
        if record.finished_at < self.at {
            return;
        }
        // a rebuilt dataset counts its versions from 0 again
        if version < self.latest {
            *self = DatasetState::default();
        }
        self.latest = self.latest.max(version);
        self.watermark = self.watermark.max(output.watermark);
        if output.partitions > 0 && version > self.version {
            (self.version, self.at, self.scheduled_time) = (version, record.finished_at, Some(record.scheduled_time));
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnreadableRecord {
    pub day: jiff::civil::Date,
    pub since: Timestamp,
    pub why: String,
}

/// A heartbeat, and when it was last seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenHeartbeat {
    #[serde(rename = "mark")]
    pub heartbeat: Heartbeat,
    pub seen_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnroutableEvent {
    pub at: Timestamp,
    pub by: String,
    pub why: String,
}

/// Reads the states of steps, ignoring keys that are not steps, which other versions of this program write.
fn deserialize_steps<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<StepKey, StepState>, D::Error> {
    let all = BTreeMap::<String, StepState>::deserialize(from)?;
    Ok(all.into_iter().filter_map(|(text, last)| Some((StepKey::from_text(&text)?, last))).collect())
}

impl WatchState {
    /// Adds an event that names no known step. Of several with the same origin and reason only the latest is kept.
    pub fn add_unroutable(&mut self, event: UnroutableEvent) {
        const KEPT: usize = 20;
        self.unroutable.retain(|other| (&other.by, &other.why) != (&event.by, &event.why));
        self.unroutable.push(event);
        if self.unroutable.len() > KEPT {
            self.unroutable.remove(0);
        }
    }

    pub fn step_mut(&mut self, key: &StepKey) -> &mut StepState {
        self.steps.entry(key.clone()).or_default()
    }

    /// Applies one run record. Records have to be applied once each, in the order of their ids. `allowed` is the quarantine limit of the
    /// pipeline, `inputs` are the datasets that the step reads.
    pub fn apply_record(&mut self, record: &RunRecord, allowed: Option<Budget>, inputs: &[DatasetName]) {
        if matches!(record.step, Activity::Step(StepId::Ingest) | Activity::Started) {
            self.record_start(&record.pipeline, record.scheduled_time, record.started_at);
        }
        self.heartbeats.remove(&record.run_id);
        let is_load = matches!(record.step, Activity::Step(StepId::Load(_)));
        for output in &record.outputs {
            if let Some(version) = output.version
                && record.error.is_none()
                && !is_load
            {
                let head = self.datasets.entry(output.dataset.clone()).or_default();
                head.apply(version, output, record);
            }
        }
        let Some(key) = StepKey::for_run(record) else { return };
        let checked: Vec<(String, i64)> = match record.status {
            Status::Done => record.inputs.iter().map(|input| (input.dataset.clone(), input.to_version)).collect(),
            // it has checked the versions that existed when it began
            Status::NothingToDo => {
                let known =
                    inputs.iter().filter_map(|input| Some((input.to_string(), self.datasets.get(input.as_str())?)));
                let known = known.filter(|(_, head)| head.at <= record.started_at);
                known.map(|(input, head)| (input, if is_load { head.version } else { head.latest })).collect()
            }
            Status::Continues | Status::Failed => Vec::new(),
        };
        let last = self.step_mut(&key);
        // a late record does not override a later run
        let is_latest = record.run_id >= last.run_id;
        match record.status {
            Status::Failed => last.record_failure(record),
            Status::Done | Status::NothingToDo => last.record_success(record),
            Status::Continues if is_latest => last.continues = Some(RunInProgress::from_record(record)),
            Status::Continues => {}
        }
        if is_latest {
            last.run_id.clone_from(&record.run_id);
            last.consumed.extend(checked);
            if key.step == StepId::Clean && record.status == Status::Done {
                self.check_quarantine(&key, record, allowed);
            }
        }
    }

    /// Records a version that is in no run record, since the process that committed it died before it could write one.
    pub fn record_version(&mut self, dataset: &str, version: i64, now: Timestamp) {
        if let Some(head) = self.datasets.get_mut(dataset)
            && version > head.latest
        {
            *head = DatasetState { version, latest: version, at: now, scheduled_time: None, watermark: head.watermark };
        }
    }

    /// Records that a pipeline was started at `at` for a scheduled time. If that time was still in the future, it does not count as
    /// started.
    fn record_start(&mut self, pipeline: &str, scheduled_time: Timestamp, at: Timestamp) {
        const AHEAD: SignedDuration = SignedDuration::from_mins(10);
        let time = if scheduled_time.duration_since(at) > AHEAD { at } else { scheduled_time };
        let known = self.pipelines.entry(pipeline.to_owned()).or_default();
        known.started = known.started.max(Some(time));
    }

    /// Records the heartbeat of a run.
    pub fn record_heartbeat(&mut self, heartbeat: &Heartbeat, now: Timestamp) {
        if heartbeat.step == StepId::Ingest {
            self.record_start(&heartbeat.pipeline, heartbeat.scheduled_time, heartbeat.started_at);
        }
        if !self.read.contains(&heartbeat.run_id) {
            self.heartbeats
                .insert(heartbeat.run_id.clone(), SeenHeartbeat { heartbeat: heartbeat.clone(), seen_at: now });
        }
    }

    /// Since when a step is running, according to heartbeats; `None` if it is not.
    pub fn running_since(&self, key: &StepKey, now: Timestamp) -> Option<Timestamp> {
        let heartbeats = self.heartbeats.values().map(|seen| &seen.heartbeat);
        let alive = heartbeats.filter(|heartbeat| now.duration_since(heartbeat.alive_at) < SILENT_FOR);
        let of_step =
            alive.filter(|heartbeat| heartbeat.pipeline == key.pipeline.as_str() && heartbeat.step == key.step);
        of_step.map(|heartbeat| heartbeat.started_at).min()
    }

    /// Checks whether a run put unusually many rows into quarantine, compared with the limit or the median of the latest runs.
    fn check_quarantine(&mut self, key: &StepKey, record: &RunRecord, allowed: Option<Budget>) {
        /// Up to this number of records there is no alert, unless a limit is set.
        const FEW: u64 = 10;
        /// Multiple of the usual share that counts as a spike.
        const MUCH: f64 = 3.0;
        /// Minimum number of runs to determine the usual share.
        const ENOUGH: usize = 3;
        let (quarantined, rows_in) = (record.rows.quarantined, record.rows.rows_in);
        if rows_in == 0 {
            return;
        }
        let share = quarantined as f64 / rows_in as f64;
        let known = self.pipelines.entry(record.pipeline.clone()).or_default();
        let mut sorted = known.shares.clone();
        sorted.sort_by(f64::total_cmp);
        let usual = (sorted.len() >= ENOUGH).then(|| sorted[sorted.len() / 2]);
        let is_much = match (allowed, usual) {
            (Some(budget), _) => quarantined > budget.limit(rows_in),
            (None, Some(usual)) => quarantined > FEW && share > MUCH * usual,
            (None, None) => false,
        };
        // the share of this run counts from the next run on, so a lasting spike becomes the usual share
        known.shares.push(share);
        if known.shares.len() > USUAL {
            known.shares.remove(0);
        }
        self.step_mut(key).quarantine_spike = is_much.then(|| QuarantineSpike {
            run_id: record.run_id.clone(),
            at: record.finished_at,
            scheduled_time: record.scheduled_time,
            quarantined,
            rows_in,
            usual,
        });
    }

    /// Records a run whose heartbeat has stopped, without a run record.
    pub fn record_lost_run(&mut self, heartbeat: &Heartbeat) {
        let Some(key) = StepKey::for_heartbeat(heartbeat) else { return };
        let last = self.step_mut(&key);
        if heartbeat.run_id > last.run_id {
            last.lost = Some(RunInProgress::from_heartbeat(heartbeat));
        }
    }
}

/// A run without a heartbeat for this long is considered dead; heartbeats are written once a minute.
pub const SILENT_FOR: SignedDuration = SignedDuration::from_mins(5);
