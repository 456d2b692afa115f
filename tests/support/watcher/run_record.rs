//! Run records as steps write them.

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Balance, Bytes, Error, ErrorKind, Input, Output, RunRecord, Status};
use tidemark_lake::Requests;

/// A builder for run records.
pub struct Run(pub RunRecord);

/// A successful run of half a minute, whose scheduled time is its start.
pub fn run(pipeline: &str, step: &str, began: &str) -> Run {
    let started_at: Timestamp = began.parse().unwrap();
    Run(RunRecord {
        run_id: String::new(),
        pipeline: pipeline.into(),
        step: step.into(),
        trigger: "test".into(),
        scheduled_time: started_at,
        days: None,
        full: false,
        correlation_id: format!("chain of {began}"),
        status: Status::Done,
        started_at,
        finished_at: started_at + SignedDuration::from_secs(30),
        duration_ms: 30_000,
        inputs: Vec::new(),
        outputs: Vec::new(),
        rows: Balance::default(),
        bytes: Bytes::default(),
        peak_memory_bytes: 0,
        requests: Requests::default(),
        cost_usd: 0.0,
        notes: Vec::new(),
        has_more: false,
        drift: Vec::new(),
        error: None,
        scope: None,
    })
}

impl Run {
    pub fn failed(mut self, kind: ErrorKind, message: &str) -> Run {
        let error = Error::new(kind, message).hint("mend it");
        self.0.status = Status::Failed;
        self.0.error = Some((&error).into());
        self
    }

    pub fn over_budget(mut self, message: &str) -> Run {
        self.0.status = Status::Failed;
        self.0.error = Some((&Error::new(ErrorKind::Data, message).hint("mend it").over_budget()).into());
        self
    }

    pub fn continues(mut self) -> Run {
        self.0.status = Status::Continues;
        self
    }

    pub fn nothing(mut self) -> Run {
        self.0.status = Status::NothingToDo;
        self
    }

    /// Sets the scheduled time.
    pub fn scheduled_at(mut self, scheduled_time: &str) -> Run {
        self.0.scheduled_time = scheduled_time.parse().unwrap();
        self
    }

    pub fn correlation_id(mut self, correlation_id: &str) -> Run {
        self.0.correlation_id = correlation_id.into();
        self
    }

    pub fn finished_at(mut self, finished: &str) -> Run {
        self.0.finished_at = finished.parse().unwrap();
        self
    }

    pub fn rows(mut self, rows_in: u64, quarantined: u64) -> Run {
        (self.0.rows.rows_in, self.0.rows.quarantined) = (rows_in, quarantined);
        self
    }

    pub fn output(mut self, dataset: &str, version: i64) -> Run {
        let output = Output { version: Some(version), ..Output::new(dataset, 1) };
        self.0.outputs.push(output);
        self
    }

    pub fn input(mut self, dataset: &str, version: i64) -> Run {
        self.0.inputs.push(Input { dataset: dataset.into(), from_version: None, to_version: version });
        self
    }

    pub fn id(mut self, run_id: &str) -> Run {
        self.0.run_id = run_id.into();
        self
    }
}
