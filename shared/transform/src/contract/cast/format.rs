//! Compiled strptime formats: common ones become a small program of digits and literals; jiff handles the rest.

use jiff::fmt::strtime::{self, BrokenDownTime};

use super::time::{Moment, days, fraction, time_of_day};

#[derive(Debug, Clone)]
pub(crate) struct Format {
    reader: Reader,
    /// Parses a text of this format.
    sample: Moment,
}

#[derive(Debug, Clone)]
enum Reader {
    Program(Vec<Instruction>),
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instruction {
    /// A number of at most this many digits (exactly as many for the year), for one part of the moment.
    Number(FormatPart, usize),
    /// Fractional digits of the second; the flag: only if a point comes first.
    Fraction {
        after_point: bool,
    },
    Literal(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormatPart {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

impl Format {
    /// Fails with jiff's message if it does not know the format.
    pub(crate) fn new(text: &str) -> Result<Format, jiff::Error> {
        let noon = jiff::civil::date(2006, 11, 22).at(12, 34, 56, 0).to_zoned(jiff::tz::TimeZone::UTC)?;
        let written = strtime::format(text, &noon)?;
        let reader = match compile(text) {
            Some(steps) => Reader::Program(steps),
            None => Reader::Other(text.to_owned()),
        };
        let sample = reader.parse(&written).unwrap_or_default();
        Ok(Format { reader, sample })
    }

    pub(crate) fn parse(&self, text: &str) -> Option<Moment> {
        self.reader.parse(text)
    }

    /// The parts of a moment that this format contains.
    pub(crate) fn sample(&self) -> Moment {
        self.sample
    }
}

impl Reader {
    /// Parses the moment in a text of this format.
    fn parse(&self, text: &str) -> Option<Moment> {
        match self {
            Reader::Program(steps) => run(steps, text.as_bytes()),
            Reader::Other(format) => broken_down(&strtime::parse(format, text).ok()?),
        }
    }
}

/// The formats of a column's dates and times. Empty means ISO 8601.
#[derive(Debug, Clone, Default)]
pub(crate) struct Formats(pub(crate) Vec<Format>);

impl Formats {
    /// The first successful parse that satisfies `wanted`.
    pub(crate) fn read<T>(
        &self,
        text: &str,
        iso: fn(&[u8]) -> Option<Moment>,
        wanted: fn(Moment) -> Option<T>,
    ) -> Option<T> {
        if self.0.is_empty() {
            return wanted(iso(text.as_bytes())?);
        }
        self.0.iter().find_map(|format| wanted(format.parse(text)?))
    }
}

fn compile(text: &str) -> Option<Vec<Instruction>> {
    let mut steps = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let step = match byte {
            b'%' => match bytes.next()? {
                b'Y' => Instruction::Number(FormatPart::Year, 4),
                b'm' => Instruction::Number(FormatPart::Month, 2),
                b'd' => Instruction::Number(FormatPart::Day, 2),
                b'H' => Instruction::Number(FormatPart::Hour, 2),
                b'M' => Instruction::Number(FormatPart::Minute, 2),
                b'S' => Instruction::Number(FormatPart::Second, 2),
                b'f' => Instruction::Fraction { after_point: false },
                b'.' if bytes.next()? == b'f' => Instruction::Fraction { after_point: true },
                b'%' => Instruction::Literal(b'%'),
                short @ (b'F' | b'T' | b'R') => {
                    steps.extend(compile(match short {
                        b'F' => "%Y-%m-%d",
                        b'T' => "%H:%M:%S",
                        _ => "%H:%M",
                    })?);
                    continue;
                }
                _ => return None,
            },
            // A space matches exactly one space. jiff, which accepts any white space, is used only for other formats.
            b' '..=b'~' => Instruction::Literal(byte),
            _ => return None,
        };
        steps.push(step);
    }
    Some(steps)
}

fn run(steps: &[Instruction], mut text: &[u8]) -> Option<Moment> {
    let mut parts = [None::<i32>; 6];
    let mut micros = 0;
    for step in steps {
        match *step {
            Instruction::Literal(byte) => text = text.strip_prefix(&[byte])?,
            Instruction::Number(part, width) => {
                let digits = text.iter().take(width).take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 || (part == FormatPart::Year && digits != width) {
                    return None;
                }
                parts[part as usize] =
                    Some(text[..digits].iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0')));
                text = &text[digits..];
            }
            Instruction::Fraction { after_point } => match (after_point, text) {
                (true, [b'.', rest @ ..]) => (micros, text) = fraction(rest)?,
                (true, _) => {}
                (false, _) => (micros, text) = fraction(text)?,
            },
        }
    }
    if !text.is_empty() {
        return None;
    }
    let [year, month, day, hour, minute, second] = parts;
    let day = match (year, month, day) {
        (Some(year), Some(month), Some(day)) => Some(days(year, month, day)?),
        _ => None,
    };
    let time = match hour {
        Some(hour) => Some(time_of_day(hour.into(), minute.unwrap_or(0).into(), second.unwrap_or(0).into(), micros)?),
        None => None,
    };
    Some(Moment { day, time, offset: None })
}

fn broken_down(parts: &BrokenDownTime) -> Option<Moment> {
    if let Some(timestamp) = parts.timestamp() {
        let micros = timestamp.as_microsecond();
        let day = i32::try_from(micros.div_euclid(super::time::DAY_US)).ok()?;
        return Some(Moment { day: Some(day), time: Some(micros.rem_euclid(super::time::DAY_US)), offset: Some(0) });
    }
    let day = match parts.to_date() {
        Ok(date) => Some(days(date.year().into(), date.month().into(), date.day().into())?),
        Err(_) => None,
    };
    let time = match parts.hour() {
        Some(_) => {
            let time = parts.to_time().ok()?;
            let micros = i64::from(time.subsec_nanosecond()) / 1000;
            Some(time_of_day(time.hour().into(), time.minute().into(), time.second().into(), micros)?)
        }
        None => None,
    };
    Some(Moment { day, time, offset: parts.offset().map(jiff::tz::Offset::seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(format: &str, text: &str) -> Option<Moment> {
        Format::new(format).ok()?.parse(text)
    }

    fn at(day: (i32, i32, i32), time: Option<(i64, i64, i64, i64)>, offset: Option<i32>) -> Option<Moment> {
        let time = time.and_then(|(h, m, s, us)| time_of_day(h, m, s, us));
        Some(Moment { day: days(day.0, day.1, day.2), time, offset })
    }

    #[test]
    fn common_formats_are_compiled() {
        for (format, text, moment) in [
            ("%Y-%m-%d %H:%M:%S", "2011-12-08 08:26:00", at((2011, 12, 8), Some((8, 26, 0, 0)), None)),
            ("%d/%m/%Y", "08/12/2011", at((2011, 12, 8), None, None)),
            ("%m/%d/%Y %H:%M", "12/1/2010 8:26", at((2010, 12, 1), Some((8, 26, 0, 0)), None)),
            ("%F %T%.f", "2011-12-08 08:26:00.25", at((2011, 12, 8), Some((8, 26, 0, 250_000)), None)),
            ("%F %T%.f", "2011-12-08 08:26:00", at((2011, 12, 8), Some((8, 26, 0, 0)), None)),
            ("%Y%m%d", "20111208", at((2011, 12, 8), None, None)),
        ] {
            assert!(matches!(Format::new(format), Ok(Format { reader: Reader::Program(_), .. })), "{format}");
            assert_eq!(parse(format, text), moment, "{format} {text}");
        }
        for (format, text) in [
            ("%Y-%m-%d", "2011-12-08 "),
            ("%Y-%m-%d", "11-12-08"),
            ("%d/%m/%Y", "31/02/2011"),
            ("%d/%m/%Y", "/12/2011"),
            ("%H:%M", "25:00"),
        ] {
            assert_eq!(parse(format, text), None, "{format} {text}");
        }
    }

    #[test]
    fn other_formats_are_parsed_by_jiff() {
        assert_eq!(parse("%d %b %Y", "08 Dec 2011"), at((2011, 12, 8), None, None));
        assert_eq!(
            parse("%d %B %Y %I:%M %p %z", "08 December 2011 08:26 PM +0100"),
            at((2011, 12, 8), Some((20, 26, 0, 0)), Some(3600))
        );
        assert_eq!(parse("%s", "86400"), at((1970, 1, 2), Some((0, 0, 0, 0)), Some(0)));
        assert!(Format::new("%Y-%Ö").is_err());
    }
}
