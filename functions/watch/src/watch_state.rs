//! What follows from the run records that have been read: what became of each step, and how far each dataset is. It hangs on nothing but
//! the records and the marks, so a watcher that finds it gone reads the last days again.

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
use crate::step_state::{QuarantineSpike, StepState, UnderWay};

/// Runs of a pipeline that say what is usual.
const USUAL: usize = 10;

/// The watcher's state as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchState {
    /// Since when it has been gathered: of what was before, only the records of some days are known.
    #[serde(default)]
    pub began: Timestamp,
    /// Run records have been read up to this moment of their ids.
    pub read_until: Timestamp,
    /// Ids of records after a while before it, which have been read: such as are written late are not missed.
    pub read: BTreeSet<String>,
    pub pipelines: BTreeMap<String, PipelineState>,
    #[serde(deserialize_with = "of_steps")]
    pub steps: BTreeMap<StepKey, StepState>,
    /// By dataset: its latest version that is known of, and when it was committed.
    pub datasets: BTreeMap<String, DatasetState>,
    /// Records that cannot be read, by run id, with their day.
    pub unreadable: BTreeMap<String, UnreadableDay>,
    /// Given-up events that nobody can make sense of.
    pub strays: Vec<UnroutableEvent>,
    /// Runs that have said that they are under way, by id, until their record has been read.
    #[serde(default)]
    pub marked: BTreeMap<String, SeenHeartbeat>,
    /// Incidents at rest, by key, as they were when they were looked at.
    pub at_rest: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PipelineState {
    /// Since when this pipeline is watched with this schedule.
    pub since: Timestamp,
    pub schedule: String,
    /// Scheduled times up to this one have been started, or need not be.
    pub started: Option<Timestamp>,
    /// The scheduled time for which the watcher has started it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helped: Option<(Timestamp, Timestamp)>,
    /// When somebody has set about making up for what was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_up_at: Option<Timestamp>,
    /// When its datasets were last looked at.
    #[serde(default)]
    pub looked_at: Timestamp,
    /// When a watcher last had it among its pipelines, about.
    #[serde(default)]
    pub seen_at: Timestamp,
    /// Shares of records that the latest runs put into quarantine, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetState {
    /// The latest version that brought or took files; none yet is -1.
    pub version: i64,
    /// The latest of all.
    pub latest: i64,
    /// When the one that brought or took files was committed.
    pub at: Timestamp,
    /// The moment of the schedule by which it came, where that is known.
    pub scheduled_time: Option<Timestamp>,
    /// Up to when it is complete, as far as a run has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
}

impl Default for DatasetState {
    fn default() -> DatasetState {
        DatasetState { version: -1, latest: -1, at: Timestamp::UNIX_EPOCH, scheduled_time: None, watermark: None }
    }
}

impl DatasetState {
    fn moves(&mut self, version: i64, output: &Output, record: &RunRecord) {
        // what was said before is no news
        if record.finished_at < self.at {
            return;
        }
        // one that was made anew counts from the beginning
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
pub struct UnreadableDay {
    pub day: jiff::civil::Date,
    pub since: Timestamp,
    pub why: String,
}

/// A mark as it was last seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenHeartbeat {
    pub mark: Heartbeat,
    pub seen_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnroutableEvent {
    pub at: Timestamp,
    pub by: String,
    pub why: String,
}

/// What is kept of steps; other versions of this program keep it of more than steps.
fn of_steps<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<StepKey, StepState>, D::Error> {
    let all = BTreeMap::<String, StepState>::deserialize(from)?;
    Ok(all.into_iter().filter_map(|(text, last)| Some((StepKey::from_text(&text)?, last))).collect())
}

impl WatchState {
    /// An event that nobody can make sense of; of several with one reason the latest is kept.
    pub fn add_stray(&mut self, stray: UnroutableEvent) {
        const KEPT: usize = 20;
        self.strays.retain(|other| (&other.by, &other.why) != (&stray.by, &stray.why));
        self.strays.push(stray);
        if self.strays.len() > KEPT {
            self.strays.remove(0);
        }
    }

    pub fn last(&mut self, key: &StepKey) -> &mut StepState {
        self.steps.entry(key.clone()).or_default()
    }

    /// Takes in one run record; in the order of their ids, each once. `allowed` and `inputs` are what its pipeline says of quarantine, and
    /// of what the step reads.
    pub fn take_in(&mut self, record: &RunRecord, allowed: Option<Budget>, inputs: &[DatasetName]) {
        if matches!(record.step, Activity::Step(StepId::Ingest) | Activity::Started) {
            self.starts(&record.pipeline, record.scheduled_time, record.started_at);
        }
        self.marked.remove(&record.run_id);
        let is_load = matches!(record.step, Activity::Step(StepId::Load(_)));
        for output in &record.outputs {
            if let Some(version) = output.version
                && record.error.is_none()
                && !is_load
            {
                let head = self.datasets.entry(output.dataset.clone()).or_default();
                head.moves(version, output, record);
            }
        }
        let Some(key) = StepKey::for_run(record) else { return };
        let looked_at: Vec<(String, i64)> = match record.status {
            Status::Done => record.inputs.iter().map(|input| (input.dataset.clone(), input.to_version)).collect(),
            // it has looked at what there was when it began
            Status::NothingToDo => {
                let known =
                    inputs.iter().filter_map(|input| Some((input.to_string(), self.datasets.get(input.as_str())?)));
                let known = known.filter(|(_, head)| head.at <= record.started_at);
                known.map(|(input, head)| (input, if is_load { head.version } else { head.latest })).collect()
            }
            Status::Continues | Status::Failed => Vec::new(),
        };
        let last = self.last(&key);
        // a record that comes late changes nothing that a later one has said
        let is_latest = record.run_id >= last.run_id;
        match record.status {
            Status::Failed => last.fails(record),
            Status::Done | Status::NothingToDo => last.ends_well(record),
            Status::Continues if is_latest => last.continues = Some(UnderWay::from_record(record)),
            Status::Continues => {}
        }
        if is_latest {
            last.run_id.clone_from(&record.run_id);
            last.consumed.extend(looked_at);
            if key.step == StepId::Clean && record.status == Status::Done {
                self.spills(&key, record, allowed);
            }
        }
    }

    /// A dataset has a version of which no record says anything: whoever committed it died before he could.
    pub fn finds(&mut self, dataset: &str, version: i64, now: Timestamp) {
        if let Some(head) = self.datasets.get_mut(dataset)
            && version > head.latest
        {
            *head = DatasetState { version, latest: version, at: now, scheduled_time: None, watermark: head.watermark };
        }
    }

    /// The first step of a pipeline says that it has been started, at a moment. A time that was still to come then is not dealt with.
    fn starts(&mut self, pipeline: &str, scheduled_time: Timestamp, at: Timestamp) {
        const AHEAD: SignedDuration = SignedDuration::from_mins(10);
        let meant = if scheduled_time.duration_since(at) > AHEAD { at } else { scheduled_time };
        let known = self.pipelines.entry(pipeline.to_owned()).or_default();
        known.started = known.started.max(Some(meant));
    }

    /// A run says that it is under way.
    pub fn sees(&mut self, mark: &Heartbeat, now: Timestamp) {
        if mark.step == StepId::Ingest {
            self.starts(&mark.pipeline, mark.scheduled_time, mark.started_at);
        }
        if !self.read.contains(&mark.run_id) {
            self.marked.insert(mark.run_id.clone(), SeenHeartbeat { mark: mark.clone(), seen_at: now });
        }
    }

    /// Since when a step is being walked, as far as its runs say so.
    pub fn under_way(&self, key: &StepKey, now: Timestamp) -> Option<Timestamp> {
        let marks = self.marked.values().map(|marked| &marked.mark);
        let alive = marks.filter(|mark| now.duration_since(mark.alive_at) < SILENT_FOR);
        let of_step = alive.filter(|mark| mark.pipeline == key.pipeline.as_str() && mark.step == key.step);
        of_step.map(|mark| mark.started_at).min()
    }

    /// What is usual is the median of the latest runs.
    fn spills(&mut self, key: &StepKey, record: &RunRecord, allowed: Option<Budget>) {
        /// Of fewer records nobody is told unasked.
        const FEW: u64 = 10;
        /// Times the usual share.
        const MUCH: f64 = 3.0;
        /// Runs it takes to know what is usual.
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
            (Some(budget), _) => quarantined > budget.most(rows_in),
            (None, Some(usual)) => quarantined > FEW && share > MUCH * usual,
            (None, None) => false,
        };
        // what is much is not usual, until it has become so
        known.shares.push(share);
        if known.shares.len() > USUAL {
            known.shares.remove(0);
        }
        self.last(key).spilled = is_much.then(|| QuarantineSpike {
            run_id: record.run_id.clone(),
            at: record.finished_at,
            scheduled_time: record.scheduled_time,
            quarantined,
            rows_in,
            usual,
        });
    }

    /// A run says nothing any more, and there is no record of it.
    pub fn loses(&mut self, mark: &Heartbeat) {
        let Some(key) = StepKey::for_mark(mark) else { return };
        let last = self.last(&key);
        if mark.run_id > last.run_id {
            last.lost = Some(UnderWay::from_mark(mark));
        }
    }
}

/// After which a run that says nothing is taken for dead; it would have said something each minute.
pub const SILENT_FOR: SignedDuration = SignedDuration::from_mins(5);
