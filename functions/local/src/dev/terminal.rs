//! The terminal output of `tidemark dev`; nothing with `--json`.

use jiff::Timestamp;
use tidemark_flow::Error;
use tidemark_pipeline::PipelineName;
use watch::{Missed, TickReport};

use super::definitions::Definitions;
use crate::print;

pub(super) struct Terminal {
    pub is_quiet: bool,
}

impl Terminal {
    /// Lists the pipelines at the start.
    pub(super) fn introduce(&self, now: Timestamp, definitions: &Definitions, has_missed: bool) {
        for pipeline in definitions.graph.pipelines() {
            let next = pipeline.schedule.as_ref().and_then(|schedule| schedule.next(now));
            let next = next.map_or("no schedule".to_owned(), |next| {
                format!("next at {}, in {}", shown(next), watch::lasted(next.duration_since(now)))
            });
            self.say(&format!("· {}  {next}", pipeline.name));
        }
        for broken in &definitions.broken {
            self.say(&format!("{} {}  {}", print::cross(), broken.pipeline, broken.error.full_message()));
        }
        if !self.is_quiet {
            definitions.left_out.iter().for_each(print::left_out);
        }
        let waiting = if has_missed { "; missed starts run first" } else { "" };
        self.say(&format!("watching every 5 minutes; Ctrl-C stops{waiting}\n"));
    }

    /// A start of a pipeline for a scheduled time.
    pub(super) fn begin(&self, pipeline: &PipelineName, at: Timestamp) {
        self.say(&format!("{}  {pipeline}", shown(at)));
    }

    pub(super) fn missed(&self, missed: &Missed) {
        let Missed { pipeline, times, skipped } = missed;
        let over = if *skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        self.say(&format!("· {pipeline}  {} to catch up on{over}", counted(times.len(), "missed start")));
    }

    /// A pending start is replaced by a later one.
    pub(super) fn skip(&self, pipeline: &PipelineName, skipped: Timestamp, at: Timestamp) {
        self.say(&format!(
            "· {pipeline}  the start for {} is replaced by the one for {}, because it had not begun",
            shown(skipped),
            shown(at)
        ));
    }

    /// The result of a tick of the watcher.
    pub(super) fn report_tick(&self, report: &TickReport) {
        for transition in &report.opened {
            self.say(&format!("! {}  incident {}", transition.title, transition.incident));
        }
        for transition in &report.resolved {
            self.say(&format!("{} over: {}  incident {}", print::tick(), transition.title, transition.incident));
        }
        if report.sent + report.unsent > 0 {
            let untold =
                if report.unsent > 0 { format!(", {} could not be sent yet", report.unsent) } else { String::new() };
            self.say(&format!("  {} sent{untold}", counted(report.sent, "message")));
        }
    }

    /// An error. `what` is a prefix that says what failed, if the message does not.
    pub(super) fn failed(&self, what: &str, error: &Error) {
        self.say(&format!("{} {what}{}", print::cross(), error.full_message()));
    }

    /// An error with its hint.
    pub(super) fn failed_with_hint(&self, error: &Error) {
        let hint = error.hint.as_ref().map(|hint| format!("\n    → {hint}")).unwrap_or_default();
        self.say(&format!("{} {}{hint}", print::cross(), error.full_message()));
    }

    fn say(&self, text: &str) {
        if !self.is_quiet {
            print::line(text);
        }
    }
}

/// `1 message`, `2 messages`
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `2026-11-26 08:00 UTC`
fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
