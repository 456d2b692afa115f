//! Guesses the type of a field by its values. Whether a text is of a type is tested with the contract code, so that a guess is never more
//! than the contract accepts.

use tidemark_flow::Error;
use tidemark_pipeline::definition::Type;

use super::column::Guess;
use super::dates;
use super::sample::{Cell, Field};

/// Texts that mean NULL in columns of numbers, dates and the like.
const NOTHING: [&str; 20] = [
    "N/A", "n/a", "NA", "na", "#N/A", "NULL", "null", "Null", "None", "none", "NaN", "nan", "-", "--", "?", ".", "\\N",
    "nil", "(null)", "(none)",
];
/// Texts that mean NULL even in text columns, where NA may be a country code.
const NOTHING_AT_ALL: [&str; 6] = ["N/A", "n/a", "NULL", "null", "#N/A", "\\N"];

/// Guesses the type of a field: a string if no other type fits all values.
pub(super) fn guess(field: &Field) -> Result<Guess, Error> {
    if let Some(ty) = field.native {
        return Ok(Guess::new(ty));
    }
    if field.cells.is_empty() {
        return Ok(Guess::new(Type::String).with_note("no value seen"));
    }
    if field.cells.contains(&Cell::Nested) {
        return Ok(Guess::new(Type::String).with_note("arrays and objects, as JSON text"));
    }
    let of_kind = |is: fn(&Cell) -> bool| field.cells.iter().filter(|cell| is(cell)).count();
    let bools = of_kind(|cell| matches!(cell, Cell::Bool(_)));
    let numbers: Vec<&str> = field.cells.iter().filter_map(Cell::number).collect();
    let texts: Vec<&str> = field.cells.iter().filter_map(Cell::text).collect();
    if texts.is_empty() && bools == field.cells.len() {
        return Ok(Guess::new(Type::Bool));
    }
    if numbers.is_empty() && bools == 0 {
        return guess_texts(field, &texts);
    }
    let (nothing, rest) = split(&texts, &NOTHING);
    if bools == 0 && rest.is_empty() {
        let guess = guess_numbers(&numbers).unwrap_or_else(|guess| guess);
        return Ok(with_nulls(guess, nothing));
    }
    Ok(Guess::new(Type::String).with_note("of more than one kind"))
}

impl Cell {
    fn number(&self) -> Option<&str> {
        match self {
            Cell::Number(number) => Some(number),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }
}

/// Splits texts into the distinct ones that mean NULL and the others.
fn split<'t>(texts: &[&'t str], nothing: &[&str]) -> (Vec<String>, Vec<&'t str>) {
    let found = nothing.iter().filter(|word| texts.contains(word)).map(|word| (*word).to_owned()).collect();
    (found, texts.iter().filter(|text| !nothing.contains(text)).copied().collect())
}

fn with_nulls(guess: Guess, nulls: Vec<String>) -> Guess {
    if nulls.is_empty() {
        return guess;
    }
    let named: Vec<String> = nulls.iter().map(|text| format!("`{text}`")).collect();
    Guess { nulls, ..guess.with_note(format!("{} read as NULL", named.join(", "))) }
}

fn guess_texts(field: &Field, all: &[&str]) -> Result<Guess, Error> {
    let (nothing, texts) = split(all, &NOTHING);
    if !texts.is_empty() {
        let guess =
            match guess_words(&texts).map_or_else(|| dates::compact(&field.words, &texts), |guess| Ok(Some(guess)))? {
                Some(guess) => Ok(guess),
                // in JSON, digits in a string are meant as text
                None if field.from.starts_with('/') && texts.iter().all(|text| is_digits(text)) => {
                    Err(Guess::new(Type::String))
                }
                None => guess_numbers(&texts),
            };
        match guess {
            Ok(guess) => return Ok(with_nulls(guess, nothing)),
            Err(why_not) if texts.iter().all(|text| is_number(text)) => {
                return Ok(with_nulls(why_not, certain_nulls(all)));
            }
            Err(_) => {}
        }
        match dates::guess(&texts)? {
            Some(guess) if guess.ty != Type::String => return Ok(with_nulls(guess, nothing)),
            Some(guess) => return Ok(with_nulls(guess, certain_nulls(all))),
            None => {}
        }
    }
    Ok(with_nulls(Guess::new(Type::String), certain_nulls(all)))
}

fn certain_nulls(texts: &[&str]) -> Vec<String> {
    split(texts, &NOTHING_AT_ALL).0
}

/// Guesses a boolean, if the texts are words for yes and no, and both occur (`true` alone suffices).
fn guess_words(texts: &[&str]) -> Option<Guess> {
    let is = |text: &str, words: [&str; 2]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    for words in [["true", "false"], ["yes", "no"], ["y", "n"], ["t", "f"]] {
        if texts.iter().all(|text| is(text, words)) {
            let is_both = words.iter().all(|word| texts.iter().any(|text| word.eq_ignore_ascii_case(text)));
            return (is_both || words[0] == "true").then(|| Guess::new(Type::Bool));
        }
    }
    None
}

fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'))
        && text.parse::<f64>().is_ok()
}

/// The type of numbers, or a string guess with the reason if they are not.
fn guess_numbers(texts: &[&str]) -> Result<Guess, Guess> {
    let text = |why: &str| Err(Guess::new(Type::String).with_note(why));
    if !texts.iter().all(|text| is_number(text)) {
        return Err(Guess::new(Type::String));
    }
    let unsigned = |text: &&str| text.strip_prefix('-').unwrap_or(text).to_owned();
    if texts.iter().any(|text| text.starts_with('+')) {
        return text("numbers with a plus sign are kept as text");
    }
    let is_padded =
        |text: &str| text.len() > 1 && text.starts_with('0') && text.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if texts.iter().any(|text| is_padded(&unsigned(text))) {
        return text("leading zeros are kept as text");
    }
    if texts.iter().any(|text| text.contains(['e', 'E']) || text.ends_with('.')) {
        return Ok(Guess::new(Type::Float64));
    }
    let (mut whole, mut scale, mut is_whole, mut has_point) = (0, 0, true, false);
    for number in texts.iter().map(unsigned) {
        let (digits, fraction) = number.split_once('.').unwrap_or((&number, ""));
        whole = whole.max(digits.len());
        scale = scale.max(fraction.len());
        is_whole &= fraction.bytes().all(|digit| digit == b'0');
        has_point |= number.contains('.');
    }
    if is_whole {
        let fits = |text: &&str| text.split('.').next().is_some_and(|digits| digits.parse::<i64>().is_ok());
        if !texts.iter().all(fits) {
            return text("digits that no int64 holds");
        }
        let guess = Guess::new(Type::Int64);
        return Ok(if has_point { guess.with_note("whole numbers, some written with `.0`") } else { guess });
    }
    // room for larger values than those in the sample
    let (scale, whole) = (scale + 2, whole + 4);
    match (u8::try_from(scale), u8::try_from((whole + scale).max(18))) {
        (Ok(scale @ ..=12), Ok(precision @ ..=38)) => {
            let seen = format!("up to {} digits after the point seen", scale - 2);
            Ok(Guess::new(Type::Decimal { precision, scale }).with_note(seen))
        }
        _ => Ok(Guess::new(Type::Float64).with_note("too many digits for a decimal")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_texts(texts: &[&str]) -> String {
        named("x", "x", texts)
    }

    fn named(from: &str, words: &str, texts: &[&str]) -> String {
        let cells = texts.iter().map(|text| Cell::Text((*text).to_owned())).collect();
        let guess = guess(&Field { from: from.into(), words: words.into(), native: None, cells }).unwrap();
        let format = guess.format.map(|format| format!(" {format}")).unwrap_or_default();
        let nulls = if guess.nulls.is_empty() { String::new() } else { format!(" {:?}", guess.nulls) };
        format!("{:?}{format}{nulls}", guess.ty)
    }

    #[test]
    fn texts_get_the_type_that_fits_all() {
        for (texts, guess) in [
            (&["1", "-2", " 3 ", ""][..], "Int64"),
            (&["17850.0", "1"], "Int64"),
            (&["007", "8"], "String"),
            (&["0", "10"], "Int64"),
            (&["+49", "1"], "String"),
            (&["9223372036854775807", "-9223372036854775808"], "Int64"),
            (&["9223372036854775808"], "String"),
            (&["1.5", "-20"], "Decimal { precision: 18, scale: 3 }"),
            (&["0.00000000001"], "Float64"),
            (&["1e3", "2"], "Float64"),
            (&["1,5", "2"], "String"),
            (&["yes", "No"], "Bool"),
            (&["yes", "yes"], "String"),
            (&["true"], "Bool"),
            (&["n", "n"], "String"),
            (&["1", "0"], "Int64"),
            (&["1", "n/a", "-", "2"], r#"Int64 ["n/a", "-"]"#),
            (&["NA", "DE", "n/a"], r#"String ["n/a"]"#),
            (&["N/A", "N/A"], r#"String ["N/A"]"#),
            (&["", " "], "String"),
            (&["nan", "inf"], "String"),
            (&["2024-01-31", "2024-02-01"], "Date"),
            (&["2024-01-31", "?"], r#"Date ["?"]"#),
            (&["2024-01-31T10:00:00Z", "2024-01-31 10:00:00.5+02:00"], "Datetime"),
            (&["2024-01-31", "2024-01-31T10:00:00Z"], "String"),
            (&["2024-02-30"], "String"),
            (&["31/01/2024", "1/2/2024"], "Date %d/%m/%Y"),
            (&["01/31/2024"], "Date %m/%d/%Y"),
            (&["01/02/2024", "03/04/2024"], "String"),
            (&["31.12.2024 23:59"], "Datetime %d.%m.%Y %H:%M"),
            (&["12/31/2010 8:26"], "Datetime %m/%d/%Y %H:%M"),
            (&["12/31/2010 8:26:05 PM"], "Datetime %m/%d/%Y %I:%M:%S %p"),
            (&["5 Jan 2024"], "Date %d %b %Y"),
            (&["Sat, 05 Oct 2024 10:00:00 +0200"], "Datetime %a, %d %b %Y %H:%M:%S %z"),
            (&["23:59", "08:00:01"], "Time"),
            (&["11:30 PM"], "Time %I:%M %p"),
            (&["20240131"], "Int64"),
        ] {
            assert_eq!(from_texts(texts), guess, "{texts:?}");
        }
        assert_eq!(named("d", "order date", &["20240131", "20240201"]), "Date %Y%m%d");
        assert_eq!(named("d", "order date", &["20241331"]), "Int64");
        assert_eq!(named("/zip", "zip", &["12345"]), "String");
        assert_eq!(named("/price", "price", &["12.50", "3"]), "Decimal { precision: 18, scale: 4 }");
    }

    #[test]
    fn kinds_of_json_values_decide_the_type() {
        let of =
            |cells: Vec<Cell>| guess(&Field { from: "/x".into(), words: "x".into(), native: None, cells }).unwrap();
        let number = |text: &str| Cell::Number(text.into());
        assert_eq!(of(vec![number("1"), number("-2")]).ty, Type::Int64);
        assert_eq!(of(vec![number("1"), number("2.5")]).ty, Type::Decimal { precision: 18, scale: 3 });
        assert_eq!(of(vec![number("1e-7")]).ty, Type::Float64);
        assert_eq!(of(vec![Cell::Bool(true)]).ty, Type::Bool);
        assert_eq!(of(vec![Cell::Bool(true), number("1")]).ty, Type::String);
        assert_eq!(of(vec![number("1"), Cell::Text("x".into())]).ty, Type::String);
        assert_eq!(of(vec![number("1"), Cell::Text("N/A".into())]).nulls, ["N/A"]);
        assert_eq!(of(vec![Cell::Nested, number("1")]).ty, Type::String);
        assert_eq!(of(vec![]).ty, Type::String);
    }
}
