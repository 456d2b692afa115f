//! Detects formats of dates and times. If all texts fit two formats, none is chosen.

use tidemark_flow::Error;
use tidemark_pipeline::definition::Type;

use super::column::{Guess, reads};

/// Unambiguous date formats.
const DATES: [&str; 10] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d/%b/%Y",
];
/// Pairs of formats with the day first or the month first.
const EITHER: [(&str, &str); 3] = [("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y"), ("%d/%m/%y", "%m/%d/%y")];
/// Time formats that may follow a date, with their separator.
const TIMES: [&str; 9] = [
    " %H:%M:%S",
    " %H:%M",
    " %H:%M:%S%.f",
    "T%H:%M:%S",
    "T%H:%M",
    "T%H:%M:%S%.f",
    " %I:%M %p",
    " %I:%M:%S %p",
    ", %H:%M",
];
const CLOCKS: [&str; 2] = ["%I:%M %p", "%I:%M:%S %p"];
/// Other formats of date and time.
const MOMENTS: [&str; 2] = ["%a, %d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z"];

/// How many texts are tried first, before all of them.
const FEW: usize = 20;
/// Maximum bytes of a date.
const LONGEST: usize = 40;

fn all_fit(ty: Type, format: Option<&str>, texts: &[&str]) -> Result<bool, Error> {
    Ok(reads(ty, format, &texts[..texts.len().min(FEW)])? && reads(ty, format, texts)?)
}

/// The type and format of the texts. None if they are not dates or times; a string with a note if two formats fit.
pub(super) fn guess(texts: &[&str]) -> Result<Option<Guess>, Error> {
    let is_like_one = |text: &&str| text.len() <= LONGEST && text.bytes().any(|byte| byte.is_ascii_digit());
    if !texts.iter().take(FEW).all(is_like_one) {
        return Ok(None);
    }
    for ty in [Type::Date, Type::Datetime, Type::Time] {
        if all_fit(ty, None, texts)? {
            return Ok(Some(typed_guess(ty, None, texts)));
        }
    }
    for format in CLOCKS {
        if all_fit(Type::Time, Some(format), texts)? {
            return Ok(Some(typed_guess(Type::Time, Some(format.to_owned()), texts)));
        }
    }
    for format in MOMENTS {
        if all_fit(Type::Datetime, Some(format), texts)? {
            return Ok(Some(typed_guess(Type::Datetime, Some(format.to_owned()), texts)));
        }
    }
    for date in DATES {
        if let Some((ty, format)) = with_time(date, texts)? {
            return Ok(Some(typed_guess(ty, Some(format), texts)));
        }
    }
    for (day_first, month_first) in EITHER {
        match (with_time(day_first, texts)?, with_time(month_first, texts)?) {
            (Some((_, one)), Some((_, other))) => {
                let note = format!("`{one}` or `{other}`: no day over 12 seen, so it is kept as text");
                return Ok(Some(Guess::new(Type::String).with_note(note)));
            }
            (Some((ty, format)), None) | (None, Some((ty, format))) => {
                return Ok(Some(typed_guess(ty, Some(format), texts)));
            }
            (None, None) => {}
        }
    }
    Ok(None)
}

fn with_time(date: &str, texts: &[&str]) -> Result<Option<(Type, String)>, Error> {
    if all_fit(Type::Date, Some(date), texts)? {
        return Ok(Some((Type::Date, date.to_owned())));
    }
    for time in TIMES {
        let format = format!("{date}{time}");
        if all_fit(Type::Datetime, Some(&format), texts)? {
            return Ok(Some((Type::Datetime, format)));
        }
    }
    Ok(None)
}

/// Dates of eight digits in a field whose name contains date or day.
pub(super) fn compact(words: &str, texts: &[&str]) -> Result<Option<Guess>, Error> {
    let is_called_date = ["date", "day"].iter().any(|word| words.to_lowercase().contains(word));
    let is_eight = |text: &&str| text.len() == 8 && (text.starts_with("19") || text.starts_with("20"));
    let format = "%Y%m%d";
    if is_called_date && texts.iter().all(is_eight) && all_fit(Type::Date, Some(format), texts)? {
        return Ok(Some(typed_guess(Type::Date, Some(format.to_owned()), texts)));
    }
    Ok(None)
}

fn typed_guess(ty: Type, format: Option<String>, texts: &[&str]) -> Guess {
    let example = texts.first().copied().unwrap_or_default();
    let mut guess = Guess::new(ty);
    if format.is_some() {
        guess = guess.with_note(format!("as `{example}`"));
    }
    let has_zone =
        |text: &&str| text.ends_with(['Z', 'z']) || text.get(16..).is_some_and(|time| time.contains(['+', '-']));
    if ty == Type::Datetime && !texts.iter().all(has_zone) {
        guess = guess.with_note("without time zone: UTC, or set timezone = \"Europe/London\"");
    }
    Guess { format, ..guess }
}
