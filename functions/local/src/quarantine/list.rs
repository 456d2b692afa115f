//! `tidemark quarantine list`: shows the records in quarantine, by reason, with samples.

use serde_json::{Value, json};

use super::counts::{Counts, quarantines};
use super::reasons::{Filter, Reason, Sample, gather};
use crate::args::Common;
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;

pub(crate) fn list(common: &Common, dataset: Option<&str>, filter: &Filter, limit: usize) -> anyhow::Result<Exit> {
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let (mut reasons, mut counts) = (Vec::new(), Counts::default());
    for quarantine in quarantines(&lake, dataset)? {
        let of = Counts::read(&lake, &quarantine)?;
        counts = Counts { broken: counts.broken + of.broken, healed: counts.healed + of.healed };
        reasons.extend(gather(&lake, &quarantine, filter)?);
    }
    let all = reasons.len();
    reasons.truncate(limit);
    if common.json {
        print::json(&json!({
            "reasons": reasons.iter().map(to_json).collect::<Vec<_>>(), "healed": counts.healed,
        }))?;
        return Ok(Exit::Done);
    }
    if !reasons.is_empty() {
        table(&reasons);
        reasons.iter().for_each(samples);
        print::line("");
    }
    if all > reasons.len() {
        print::line(&format!("{} of {all} reasons; --limit shows more", reasons.len()));
    }
    print::line(&total(&reasons, filter, counts));
    Ok(Exit::Done)
}

fn total(reasons: &[Reason], filter: &Filter, counts: Counts) -> String {
    match counts {
        Counts { broken: 0, healed: 0 } => "nothing is in quarantine".into(),
        _ if reasons.is_empty() && (filter.reason.is_some() || filter.since.is_some()) => {
            format!("no match among {} broken and {} healed", print::count(counts.broken), print::count(counts.healed))
        }
        Counts { broken, healed } => format!(
            "{} broken, {} healed{}",
            print::count(broken),
            print::count(healed),
            if healed > 0 && !filter.healed { " (see them with --healed)" } else { "" }
        ),
    }
}

/// How many characters of a contract's fingerprint are shown.
const FINGERPRINT: usize = 8;

fn table(reasons: &[Reason]) {
    let range = |first: String, last: String| if first == last { first } else { format!("{first} to {last}") };
    let time = |time: jiff::Timestamp| time.strftime("%Y-%m-%d %H:%M").to_string();
    let lines = reasons.iter().map(|reason| {
        let contracts = reason.contracts.iter().map(|contract| contract.chars().take(FINGERPRINT).collect::<String>());
        vec![
            reason.dataset.clone(),
            reason.name(),
            print::count(reason.records),
            reason.days.map(|(first, last)| range(first.to_string(), last.to_string())).unwrap_or_default(),
            reason.came_in.map(|(first, last)| range(time(first), time(last))).unwrap_or_default(),
            contracts.collect::<Vec<_>>().join(", "),
        ]
    });
    print::table(&["DATASET", "REASON", "RECORDS", "DAYS", "CAME IN (UTC)", "CONTRACT"], &[2], lines.collect());
}

fn samples(reason: &Reason) {
    let good = if reason.is_permanent() { "  (not readable as records: correct the source)" } else { "" };
    print::line(&format!("\n{}  {}{good}", reason.dataset, reason.name()));
    let places: Vec<String> = reason.samples.iter().map(Sample::place).collect();
    let values: Vec<String> =
        reason.samples.iter().map(|sample| print::cut(sample.value.as_deref().unwrap_or_default(), VALUE)).collect();
    let widest = |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or_default();
    let (place_width, value_width) = (widest(&places), widest(&values));
    for ((place, value), sample) in places.iter().zip(&values).zip(&reason.samples) {
        let line =
            format!("  {place:<place_width$}  {value:<value_width$}  {}", sample.text.as_deref().unwrap_or_default());
        print::line(print::cut(&line, print::width()).trim_end());
    }
}

/// Maximum characters of a value.
const VALUE: usize = 30;

impl Sample {
    /// `orders.csv:17`, `orders page 3:17`
    fn place(&self) -> String {
        let page = self.page.map(|page| format!(" page {page}")).unwrap_or_default();
        format!("{}{page}:{}", self.object, self.row.map(|row| row.to_string()).unwrap_or_default())
    }
}

fn to_json(reason: &Reason) -> Value {
    let samples: Vec<Value> = reason
        .samples
        .iter()
        .map(|Sample { object, page, row, value, text }| {
            json!({"object": object, "page": page, "row": row, "value": value, "text": text})
        })
        .collect();
    json!({
        "dataset": reason.dataset, "column": reason.column, "rule": reason.rule, "records": reason.records,
        "first_day": reason.days.map(|(first, _)| first), "last_day": reason.days.map(|(_, last)| last),
        "first_came_in": reason.came_in.map(|(first, _)| first), "last_came_in": reason.came_in.map(|(_, last)| last),
        "contracts": reason.contracts, "samples": samples,
    })
}

/// `amount: min 2, format 1`
pub(crate) fn named(reasons: &[Reason]) -> String {
    let names = reasons.iter().map(|reason| format!("{} {}", reason.name(), print::count(reason.records)));
    names.collect::<Vec<_>>().join(", ")
}
