//! `schedule`.

use super::fields::Fields;
use crate::schedule::{CatchUp, Fires, Schedule};
use crate::schedule::{Cron, CronError, Rate, RateError};

const FIELDS: [&str; 4] = ["cron", "rate", "timezone", "catch_up"];

pub(super) fn schedule(top: &Fields<'_, '_>) -> Option<Schedule> {
    let fields = top.open("schedule", "[schedule]", &FIELDS)?;
    let choices = [("last", CatchUp::Last), ("all", CatchUp::All), ("none", CatchUp::Nothing)];
    let catch_up = fields.choice("catch_up", &choices).unwrap_or_default();
    let timezone = fields.text("timezone").map(|text| top.reader.timezone(text));
    let fires = match (fields.value("cron").is_some(), fields.value("rate").is_some()) {
        (false, false) => {
            fields.missing("cron", "`cron = \"0 8 * * ? *\"` or `rate = \"4 hours\"`");
            None
        }
        (true, true) => {
            fields.refuse("rate", "either `cron` or `rate`");
            cron(&fields).and(None)
        }
        (true, false) => cron(&fields).map(Fires::Cron),
        (false, true) => {
            fields.refuse(
                "timezone",
                "no time zone with a rate, which fires at multiples of its period since 1970-01-01T00:00:00Z",
            );
            rate(&fields).map(Fires::Rate)
        }
    };
    let timezone = timezone.unwrap_or_else(|| Some("UTC".to_owned()));
    Some(Schedule { fires: fires?, timezone: timezone?, catch_up })
}

fn cron(fields: &Fields<'_, '_>) -> Option<Cron> {
    let text = fields.needed("cron", "AWS cron fields, as in `0 8 * * ? *`")?;
    let wrong = |CronError { at, found, expected }| fields.reader.report(text.offset(at), found, expected);
    text.text.parse().map_err(wrong).ok()
}

fn rate(fields: &Fields<'_, '_>) -> Option<Rate> {
    let text = fields.needed("rate", "a value and a unit, as in `4 hours`")?;
    let wrong = |RateError { at, found, expected, hint }| {
        fields.reader.report_with_hint(text.offset(at), found, expected, hint);
    };
    text.text.parse().map_err(wrong).ok()
}
