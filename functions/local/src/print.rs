//! Terminal output: lines, plain tables, or JSON.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
pub(crate) use tidemark_flow::thousands as count;
use tidemark_flow::{RunRecord, Status};

use crate::definitions::LeftOut;

/// Writes a line to stdout. A closed pipe (`| head`) is not an error.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints one JSON document.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a table without borders. The columns with indices in `right` are right-aligned.
pub(crate) fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for text in table.to_string().lines() {
        line(text.trim_end());
    }
}

/// Width of the terminal in characters.
pub(crate) fn width() -> usize {
    const USUAL: usize = 100;
    std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .filter(|columns| *columns >= 40)
        .unwrap_or(USUAL)
}

/// A text on one line of at most `width` characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let text = text.replace(char::is_control, " ");
    match text.char_indices().nth(width) {
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => text,
    }
}

fn colour(code: &str, text: &str) -> String {
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain { text.to_owned() } else { format!("\u{1b}[{code}m{text}\u{1b}[0m") }
}

/// Mark of success.
pub(crate) fn tick() -> String {
    colour("32", "✓")
}

/// Mark of failure.
pub(crate) fn cross() -> String {
    colour("31", "✗")
}

/// Prints one line for a step (rows, bytes, seconds, cost), then its notes and error.
pub(crate) fn record(record: &RunRecord) {
    let (mark, what) = match record.status {
        Status::Done => (tick(), rows(record)),
        Status::NothingToDo => (colour("90", "·"), "nothing to do".to_owned()),
        Status::Continues => (colour("33", "…"), "continues".to_owned()),
        Status::Failed => (cross(), "failed".to_owned()),
    };
    let name = format!("{}  {}", record.pipeline, record.step);
    let bytes = match (record.bytes.read, record.bytes.written) {
        (0, 0) => String::new(),
        (0, written) => size(written),
        (read, 0) => size(read),
        (read, written) => format!("{} → {}", size(read), size(written)),
    };
    let seconds = format!("{:.2} s", record.duration_ms as f64 / 1000.0);
    let cost = format!("${:.5}", record.cost_usd);
    line(format!("{mark} {name:<38} {what:<44} {bytes:>20} {seconds:>9} {cost:>9}").trim_end());
    for note in &record.notes {
        line(&format!("    note: {note}"));
    }
    if let Some(error) = &record.error {
        line(&format!("    {} {}", colour("31", "error:"), error.message));
        if let Some(hint) = &error.hint {
            line(&format!("    → {hint}"));
        }
    }
}

fn rows(record: &RunRecord) -> String {
    let rows = &record.rows;
    let mut parts = vec![format!("{} rows", count(rows.rows_in))];
    let filtered: u64 = rows.filtered.values().sum();
    let named = [
        (rows.updated, "updated"),
        (rows.unchanged, "unchanged"),
        (rows.deduplicated, "deduplicated"),
        (filtered, "filtered"),
        (rows.quarantined, "quarantined"),
        (rows.deleted, "deleted"),
    ];
    parts.extend(named.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{} {name}", count(*n))));
    parts.join(", ")
}

/// Prints a pipeline that was left out, with the arguments it needs.
pub(crate) fn left_out(left: &LeftOut) {
    let values = left.missing.iter().map(|name| format!(" --set {name}=…")).collect::<String>();
    let name = &left.pipeline;
    line(&format!("{} {name}  left out; it needs{values}", colour("90", "·")));
}

/// Prints the summary of a run.
pub(crate) fn summary(records: &[RunRecord], took: jiff::SignedDuration) {
    let done = records.iter().filter(|record| record.status == Status::Done).count();
    let failed = records.iter().filter(|record| record.status == Status::Failed).count();
    let cost: f64 = records.iter().map(|record| record.cost_usd).sum();
    let peak = records.iter().map(|record| record.peak_memory_bytes).max().unwrap_or_default();
    line("");
    for output in records.iter().flat_map(|record| &record.outputs).filter(|output| output.dataset.ends_with(".xlsx")) {
        line(&format!("report  {}", output.dataset));
    }
    for record in records {
        drift(record);
    }
    let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    line(&format!(
        "{done} steps done{failures}, {} with nothing to do; {:.2} s, {} of memory, ${cost:.5} on AWS",
        records.len() - done - failed,
        took.as_secs_f64(),
        size(peak),
    ));
}

/// Prints fields that a source has and the contract does not, at most `LINES`.
fn drift(record: &RunRecord) {
    const LINES: usize = 10;
    for drift in record.drift.iter().take(LINES) {
        line(&format!("drift   {}: {drift}; add it to [contract.columns] to include it", record.pipeline));
    }
    let more = record.drift.len().saturating_sub(LINES);
    if more > 0 {
        line(&format!("drift   {}: and {more} more fields; all of them: tidemark runs --json", record.pipeline));
    }
}

/// `7.6 MB`
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!([size(0), size(999), size(7_611_818), size(5_000_000_000)], ["0 B", "999 B", "7.6 MB", "5.0 GB"]);
    }
}
