//! `tidemark plan`: shows what a run would do, computed from the logs alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use tidemark_flow::{Error, Quiet, RunRecord, Selection, Size, Trigger, estimate, host};
use tidemark_lake::Lake;
use tidemark_pipeline::StepId;

use crate::args::Common;
use crate::definitions::{load, select_pipelines};
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;
use crate::steps::step;

/// Bytes per second assumed for a step that has never run.
const UNKNOWN_RATE: f64 = 20e6;
/// How many run records are read to find the rate of a step.
const RECORDS: usize = 200;

pub(crate) fn plan(common: &Common, names: &[String], at: Option<Timestamp>) -> anyhow::Result<Exit> {
    let (names, left_out) = select_pipelines(common, names);
    let graph = load(common, Selection::Named(&names))?;
    let local = LocalEnvironment::new()?;
    let lake = if local.has_lake(&common.lake) { local.existing_lake(&common.lake)? } else { local.empty_lake()? };
    let trigger = Trigger::at(at.unwrap_or_else(host::now), "");
    let rates = rates(&lake)?;
    let (mut steps, mut lines) = (Vec::new(), Vec::new());
    local.with_context(&lake, &Quiet, |context| {
        for (pipeline, id) in graph.steps() {
            if !names.is_empty() && !names.iter().any(|name| name == pipeline.name.as_str()) {
                continue;
            }
            let name = pipeline.name.to_string();
            match step(&local, &graph, pipeline, id)?.due(context, &trigger)? {
                Some(Size { partitions, rows, bytes, how }) => {
                    let rate = rates.get(&(name.clone(), id.clone())).copied().unwrap_or(UNKNOWN_RATE);
                    let seconds = bytes as f64 / rate;
                    let usd = estimate(seconds, partitions);
                    let known = |n: Option<u64>| n.map_or("?".to_owned(), print::count);
                    lines.push(vec![
                        format!("{name}  {id}"),
                        print::count(partitions),
                        known(rows),
                        print::size(bytes),
                        format!("{seconds:.1} s"),
                        format!("${usd:.5}"),
                        how.map_or(String::new(), |how| format!("by {how}")),
                    ]);
                    let mut planned = json!({
                        "pipeline": name, "step": id, "due": true, "partitions": partitions, "rows": rows, "bytes": bytes,
                        "seconds": seconds, "cost_usd": usd,
                    });
                    if let Some(how) = how {
                        planned["how"] = json!(how);
                    }
                    steps.push(planned);
                }
                None => {
                    lines.push(vec![
                        format!("{name}  {id}"),
                        "nothing, unless the steps above produce something".into(),
                    ]);
                    steps.push(json!({"pipeline": name, "step": id, "due": false}));
                }
            }
        }
        Ok::<_, Error>(())
    })?;
    if common.json {
        let mut document = json!({"steps": steps});
        if !left_out.is_empty() {
            document["left_out"] = json!(left_out);
        }
        print::json(&document)?;
    } else {
        print::table(&["STEP", "PARTITIONS", "ROWS", "BYTES", "TIME", "COST ON AWS", ""], &[2, 3, 4, 5], lines);
        left_out.iter().for_each(print::left_out);
    }
    Ok(Exit::Done)
}

/// Bytes per second of the latest run of each step, by pipeline and step.
fn rates(lake: &Lake) -> Result<BTreeMap<(String, StepId), f64>, Error> {
    let mut rates = BTreeMap::new();
    for bytes in lake.runs(RECORDS)? {
        let Ok(record) = serde_json::from_slice::<RunRecord>(&bytes) else { continue };
        let Some(step) = record.step.step() else { continue };
        if record.error.is_none() && record.bytes.read > 0 && record.duration_ms > 0 {
            let rate = record.bytes.read as f64 / (record.duration_ms as f64 / 1000.0);
            rates.entry((record.pipeline, step.clone())).or_insert(rate);
        }
    }
    Ok(rates)
}
