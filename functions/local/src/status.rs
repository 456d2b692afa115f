//! `tidemark status`: shows each dataset, its lag behind the clock and its schedule, and the open incidents.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_flow::{Error, Selection, host};
use tidemark_lake::{Lake, Table};
use tidemark_pipeline::{DatasetName, Graph};
use watch::{Incident, Silences};

use crate::args::Common;
use crate::definitions::load;
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;
use crate::quarantine::counts::Counts;

pub(crate) fn status(common: &Common) -> anyhow::Result<Exit> {
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let now = host::now();
    // the pipelines are needed only for the schedules, so a lake can be shown without them
    let graph = load(common, Selection::CheckOnly).ok();
    let mut states = Vec::new();
    for name in lake.datasets().map_err(Error::from)? {
        if let Some(table) = lake.table(&name).map_err(Error::from)? {
            states.push(State::new(&lake, name, &table, graph.as_ref(), now)?);
        }
    }
    let incidents = watch::open_incidents(&lake)?;
    let names = lake.watched().map_err(Error::from)?.silences;
    let silences = Silences::read(&lake, &names, now)?;
    if common.json {
        let datasets: Vec<_> = states.iter().map(State::to_json).collect();
        let incidents: Vec<_> = incidents.iter().map(|incident| incident_json(incident, &silences)).collect();
        print::json(&json!({"datasets": datasets, "incidents": incidents}))?;
        return Ok(Exit::Done);
    }
    let lines = states.iter().map(State::line).collect();
    print::table(&["DATASET", "VERSION", "COMPLETE UP TO", "ROWS", "LAG", "SCHEDULE"], &[1, 3, 4], lines);
    print::line("");
    if incidents.is_empty() {
        print::line("no open incidents");
    }
    for incident in &incidents {
        print_incident(incident, &silences, now);
    }
    Ok(Exit::Done)
}

/// The state of one dataset.
struct State {
    name: DatasetName,
    version: i64,
    watermark: Option<Timestamp>,
    rows: u64,
    /// For a quarantine: the number of healed rows.
    healed: Option<u64>,
    lag_seconds: Option<i64>,
    /// How far its watermark is behind the latest scheduled time.
    late_seconds: Option<i64>,
}

impl State {
    fn new(
        lake: &Lake,
        name: DatasetName,
        table: &Table,
        graph: Option<&Graph>,
        now: Timestamp,
    ) -> Result<State, Error> {
        let watermark = table.meta(lake)?.watermark;
        let (mut rows, mut healed) = (table.rows(lake)?, None);
        if name.is_quarantine() {
            let counts = Counts::read(lake, table)?;
            (rows, healed) = (counts.broken, Some(counts.healed));
        }
        let seconds = |until: Timestamp| watermark.map(|mark| until.duration_since(mark).as_secs().max(0));
        let producer = graph.and_then(|graph| graph.producer(&name)).map(|(pipeline, _)| pipeline);
        // a quarantine has no schedule
        let producer = producer.filter(|_| !name.is_quarantine());
        let scheduled = producer.and_then(|pipeline| pipeline.schedule.as_ref()?.previous(now));
        let (lag_seconds, late_seconds) = (seconds(now), scheduled.and_then(seconds));
        Ok(State { version: table.version(), name, watermark, rows, healed, lag_seconds, late_seconds })
    }

    fn line(&self) -> Vec<String> {
        let healed = self.healed.filter(|healed| *healed > 0);
        let healed = healed.map(|healed| format!(" (+ {} healed)", print::count(healed))).unwrap_or_default();
        let schedule = self.late_seconds.map(|late| match late {
            0 => "on time".to_owned(),
            late => format!("{} behind", age(late)),
        });
        vec![
            self.name.to_string(),
            self.version.to_string(),
            self.watermark.map(|mark| mark.to_string()).unwrap_or_default(),
            print::count(self.rows) + &healed,
            self.lag_seconds.map(age).unwrap_or_default(),
            schedule.unwrap_or_default(),
        ]
    }

    fn to_json(&self) -> Value {
        let State { name, version, watermark, rows, lag_seconds, late_seconds, .. } = self;
        let mut dataset = json!({
            "name": name, "version": version, "watermark": watermark, "rows": rows, "lag_seconds": lag_seconds,
            "behind_schedule_seconds": late_seconds, "sla": null,
        });
        if let Some(healed) = self.healed {
            dataset["healed"] = json!(healed);
        }
        dataset
    }
}

fn age(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn print_incident(incident: &Incident, silences: &Silences, now: Timestamp) {
    let finding = &incident.finding;
    let severity = if incident.severity == tidemark_pipeline::Severity::Critical { "critical" } else { "warning" };
    let since = age(now.duration_since(finding.since).as_secs().max(0));
    print::line(&format!("{} {severity}  {}  for {since}  {}", print::cross(), watch::title(finding), incident.id()));
    for line in finding.what.lines() {
        print::line(&format!("    {line}"));
    }
    if let Some(hint) = &finding.hint {
        print::line(&format!("    → {hint}"));
    }
    let silence = finding.pipeline.as_deref().and_then(|pipeline| silences.get(pipeline));
    if let Some(silence) = silence {
        print::line(&format!("    silenced until {}", silence.until.strftime("%Y-%m-%d %H:%M UTC")));
    }
    for (address, told) in &incident.notifications {
        if let Some(trouble) = &told.last_error {
            print::line(&format!("    not notified yet: {address}: {trouble}"));
        }
    }
}

fn incident_json(incident: &Incident, silences: &Silences) -> Value {
    let finding = &incident.finding;
    let silence = finding.pipeline.as_deref().and_then(|pipeline| silences.get(pipeline));
    json!({
        "id": incident.id(), "key": incident.key, "severity": incident.severity, "wrong": finding.incident_kind,
        "title": watch::title(finding), "pipeline": finding.pipeline, "step": finding.step, "since": finding.since,
        "opened_at": incident.opened_at, "count": finding.count, "what": finding.what, "kind": finding.kind, "hint": finding.hint,
        "scheduled_time": finding.scheduled_time, "run_id": finding.run_id, "told": incident.notifications,
        "silenced_until": silence.map(|silence| silence.until),
    })
}
