//! Every value is the same after a round trip through the table.

use polars::prelude::*;

use crate::support::postgres::Server;
use crate::support::postgres::release::releases;
use crate::support::postgres_load::{LoadHarness, UPSERT, counts, numbered};

/// Date of a day since 1970, and a suffix for years before 1, as PostgreSQL writes them (Howard Hinnant's `civil_from_days`).
fn day(days: i64) -> (String, &'static str) {
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let y = yoe + era * 400 + i64::from(m <= 2);
    let (y, suffix) = if y <= 0 { (1 - y, " BC") } else { (y, "") };
    (format!("{y:04}-{m:02}-{d:02}"), suffix)
}

fn date(days: i32) -> String {
    let (day, suffix) = day(days.into());
    day + suffix
}

fn instant(micros: i64) -> String {
    let (date, suffix) = day(micros.div_euclid(86_400_000_000));
    let of_day = micros.rem_euclid(86_400_000_000);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let fraction =
        if fraction == 0 { String::new() } else { format!(".{fraction:06}").trim_end_matches('0').to_owned() };
    format!("{date} {:02}:{:02}:{:02}{fraction}+00{suffix}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn decimal(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale > 0 { "." } else { "" };
    format!("{}{whole}{point}{fraction}", if unscaled < 0 { "-" } else { "" })
}

fn float(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        value => value.to_string(),
    }
}

/// Values as the server writes them. Floats have several notations, so they are compared as numbers.
fn texts(column: &Column) -> Vec<Option<String>> {
    let series = column.as_materialized_series();
    let value = |at: usize| -> Option<String> {
        Some(match series.get(at).unwrap() {
            AnyValue::Null => return None,
            AnyValue::Boolean(value) => if value { "t" } else { "f" }.to_owned(),
            AnyValue::Float32(value) => float(value.into()),
            AnyValue::Float64(value) => float(value),
            AnyValue::Decimal(unscaled, _, scale) => decimal(unscaled, scale),
            AnyValue::String(text) => text.to_owned(),
            AnyValue::Date(days) => date(days),
            AnyValue::Datetime(micros, TimeUnit::Microseconds, _) => instant(micros),
            value => value.to_string(),
        })
    };
    (0..series.len()).map(value).collect()
}

/// Checks that the table has each value of the frame, in the order of `id`.
#[track_caller]
fn assert_same(lab: &LoadHarness, frame: &DataFrame, what: &str) {
    for column in frame.columns() {
        let name = column.name();
        let found = lab.query(&format!("SELECT \"{name}\" FROM t ORDER BY id"));
        let found = found.into_iter().map(|mut row| row.remove(0));
        let expected = texts(column);
        assert_eq!(found.len(), expected.len(), "{what}: {name}");
        for (at, (found, expected)) in found.zip(expected).enumerate() {
            let same = match (column.dtype(), &found, &expected) {
                (DataType::Float64, Some(found), Some(expected)) => {
                    let [found, expected]: [f64; 2] = [found, expected].map(|text| text.parse().unwrap());
                    found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan())
                }
                (DataType::Float32, Some(found), Some(expected)) => {
                    let [found, expected]: [f32; 2] = [found, expected].map(|text| text.parse().unwrap());
                    found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan())
                }
                _ => found == expected,
            };
            assert!(same, "{what}: row {at} of {name}: {found:?}, expected {expected:?}");
        }
    }
}

/// Loads the frame into a new table and compares; then loads it reversed, over other values.
fn round_trip(lab: &LoadHarness, frame: &DataFrame, what: &str) {
    lab.query("DROP TABLE IF EXISTS t, tidemark_loads");
    let rows = frame.height() as u64;
    lab.commit("d", frame);
    assert_eq!(counts(&lab.load(UPSERT)), [rows, 0, 0, 0, 0], "{what}");
    assert_same(lab, frame, what);
    assert_eq!(counts(&lab.load_full(UPSERT)), [0, 0, rows, 0, 0], "{what}");
    let turned = |column: &Column| if column.name() == "id" { column.clone() } else { column.reverse() };
    let reversed = DataFrame::new(frame.height(), frame.columns().iter().map(turned).collect()).unwrap();
    lab.commit("d", &reversed);
    lab.load(UPSERT);
    assert_same(lab, &reversed, what);
}

fn with_ids(columns: Vec<Column>) -> DataFrame {
    let height = columns[0].len();
    let mut frame = DataFrame::new(height, columns).unwrap();
    frame.insert_column(0, Column::new("id".into(), (0..height as i64).collect::<Vec<_>>())).unwrap();
    frame
}

fn column<T, C: FromIterator<Option<T>>>(values: impl IntoIterator<Item = T>) -> C {
    values.into_iter().map(Some).chain([None]).collect()
}

#[test]
fn texts_with_special_characters() {
    let Some(lab) = LoadHarness::new() else { return };
    let ascii: String = (1..128_u8).map(char::from).collect();
    let mut all: Vec<Option<String>> = column((1..128_u8).map(|byte| char::from(byte).to_string()));
    let words = [
        "",
        " ",
        "\\",
        "\\N",
        "\\.",
        "\t",
        "\n",
        "\r\n",
        "\"",
        "'",
        "''; DROP TABLE t; --",
        "é",
        "e\u{301}",
        "🛒👩‍👩‍👧",
        "\u{feff}",
        "\u{ffff}",
        "\u{10ffff}",
        "NULL",
        "null",
        "{}",
        "$1",
        "a,b",
        "\u{7f}",
        "\u{2028}",
        &ascii,
    ];
    all.extend(words.map(|word| Some(word.to_owned())));
    all.push(Some("🛒".repeat(100_000)));
    let rotated: Vec<_> = all[3..].iter().chain(&all[..3]).cloned().collect();
    round_trip(&lab, &with_ids(vec![Column::new("text".into(), all), Column::new("other".into(), rotated)]), "texts");
    // The same texts as keys.
    let frame = df!("id" => words, "note" => words).unwrap();
    lab.query("DROP TABLE t, tidemark_loads");
    lab.commit("d", &frame);
    lab.load(UPSERT);
    lab.commit("d", &frame.clone().lazy().with_column(lit("x").alias("note")).collect().unwrap());
    assert_eq!(counts(&lab.load(UPSERT)), [0, words.len() as u64, 0, 0, 0]);
    lab.commit("d", &frame.slice(0, 0));
    assert_eq!(counts(&lab.load(UPSERT))[3], words.len() as u64);
}

#[test]
fn numbers_at_their_limits() {
    let Some(lab) = LoadHarness::new() else { return };
    let integers =
        |values: [i64; 9], dtype: DataType| Column::new("n".into(), column::<_, Vec<_>>(values)).cast(&dtype).unwrap();
    let ends = |least: i64, most: i64| [least, least + 1, -1, 0, 1, 100, -100, most - 1, most];
    for (dtype, least, most) in [
        (DataType::Int8, i64::from(i8::MIN), i64::from(i8::MAX)),
        (DataType::Int16, i64::from(i16::MIN), i64::from(i16::MAX)),
        (DataType::Int32, i64::from(i32::MIN), i64::from(i32::MAX)),
        (DataType::Int64, i64::MIN, i64::MAX),
    ] {
        round_trip(&lab, &with_ids(vec![integers(ends(least, most), dtype.clone())]), &dtype.to_string());
    }
    let doubles = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.1,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        5e-324,
        -5e-324,
        1e22,
        1e23,
        123_456_789.123_456_78,
        2_f64.powi(53) + 1.0,
    ];
    let singles: Vec<Option<f32>> = column(doubles.map(|value| value as f32));
    let doubles: Vec<Option<f64>> = column(doubles);
    round_trip(&lab, &with_ids(vec![Column::new("d".into(), doubles), Column::new("s".into(), singles)]), "floats");
    let yes: Vec<Option<bool>> = column([true, false]);
    round_trip(&lab, &with_ids(vec![Column::new("yes".into(), yes)]), "booleans");
}

/// A small generator of reproducible numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn integer(&mut self) -> i64 {
        let bits = self.below(64);
        self.next().cast_signed() >> bits
    }

    /// A number of at most `digits` digits; each length is equally likely.
    fn decimal(&mut self, digits: u64) -> i128 {
        let magnitude = 10_u128.pow(u32::try_from(self.below(digits + 1)).unwrap());
        let value = (u128::from(self.next()) << 64 | u128::from(self.next())) % magnitude;
        let value = i128::try_from(value).unwrap();
        // Some with zeros at the end.
        let value = if self.below(3) == 0 { value / 10_000 * 10_000 } else { value };
        if self.below(2) == 0 { value } else { -value }
    }

    fn text(&mut self) -> String {
        let letters = ["a", "Z", "\\", "\n", "\t", "'", "\"", "é", "🛒", "\u{1}", " ", "0"];
        (0..self.below(12)).map(|_| letters[self.below(letters.len() as u64) as usize]).collect()
    }
}

fn decimals(name: &str, values: Vec<Option<i128>>, precision: usize, scale: usize) -> Column {
    let values: Int128Chunked = values.into_iter().collect();
    values.into_decimal_unchecked(precision, scale).into_series().with_name(name.into()).into_column()
}

#[test]
fn decimals_of_every_scale() {
    let Some(lab) = LoadHarness::new() else { return };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let most = 10_i128.pow(38) - 1;
    let columns = (0..=38).map(|scale| {
        let ends =
            [0, 1, -1, 9, 10, 9_999, 10_000, -10_000, 99_999_999, 100_000_000, most, -most, most - 1, 10_i128.pow(37)];
        let random = (0..200).map(|_| dice.decimal(38));
        decimals(&format!("s{scale}"), column(ends.into_iter().chain(random.collect::<Vec<_>>())), 38, scale)
    });
    round_trip(&lab, &with_ids(columns.collect()), "decimals");
    assert_eq!(
        lab.one("SELECT s38::text, s0::text FROM t WHERE s38 = 1e-38 AND s0 = 1"),
        format!("0.{}1,1", "0".repeat(37))
    );
}

#[test]
fn days_and_times_at_their_limits() {
    let Some(lab) = LoadHarness::new() else { return };
    let mut dice = Dice(7);
    // 4714-11-24 BC and 5874897-12-31.
    let (first, last) = (-2_440_588_i32, 2_145_042_541_i32);
    let mut days = vec![
        0,
        -1,
        1,
        first,
        first + 1,
        last,
        last - 1,
        -719_529,
        -719_528,
        -719_163,
        -719_162,
        2_932_896,
        2_932_897,
        11_016,
    ];
    days.extend(
        (0..200).map(|_| i32::try_from(i64::from(first) + dice.below(2_147_000_000) as i64 % 4_000_000).unwrap()),
    );
    let day: i64 = 86_400_000_000;
    // 4714-11-24 BC, and the latest time of the lake.
    let (earliest, latest) = (i64::from(first) * day, i64::MAX);
    let mut instants = vec![
        0,
        1,
        -1,
        day - 1,
        day,
        earliest,
        earliest + 1,
        latest,
        latest - 1,
        -62_135_596_800_000_000,
        253_402_300_800_000_000,
    ];
    instants.extend((0..203).map(|_| dice.integer()).filter(|at| (earliest..=latest).contains(at)));
    instants.resize(days.len(), 1_234_567_890_123_456);
    let days = Column::new("day".into(), column::<_, Vec<_>>(days)).cast(&DataType::Date).unwrap();
    let zone = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
    let instants = Column::new("at".into(), column::<_, Vec<_>>(instants)).cast(&zone).unwrap();
    round_trip(&lab, &with_ids(vec![days, instants]), "times");
}

/// Rows with random values of all types.
fn random(seed: u64, rows: usize) -> DataFrame {
    let mut dice = Dice(seed);
    let some = |dice: &mut Dice| dice.below(5) > 0;
    let mut columns = Vec::new();
    let ints: Vec<Option<i64>> = (0..rows).map(|_| some(&mut dice).then(|| dice.integer())).collect();
    columns.push(Column::new("int".into(), ints));
    let texts: Vec<Option<String>> = (0..rows).map(|_| some(&mut dice).then(|| dice.text())).collect();
    columns.push(Column::new("text".into(), texts));
    let floats: Vec<Option<f64>> = (0..rows).map(|_| some(&mut dice).then(|| f64::from_bits(dice.next()))).collect();
    columns.push(Column::new("float".into(), floats));
    let days: Vec<Option<i32>> =
        (0..rows).map(|_| some(&mut dice).then(|| dice.below(4_000_000) as i32 - 2_000_000)).collect();
    columns.push(Column::new("day".into(), days).cast(&DataType::Date).unwrap());
    let zone = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
    let ats: Vec<Option<i64>> = (0..rows).map(|_| some(&mut dice).then(|| dice.integer() / 50)).collect();
    columns.push(Column::new("at".into(), ats).cast(&zone).unwrap());
    let yes: Vec<Option<bool>> = (0..rows).map(|_| some(&mut dice).then(|| dice.below(2) > 0)).collect();
    columns.push(Column::new("yes".into(), yes));
    for (name, precision, scale) in [("a", 12, 2), ("b", 38, 19), ("c", 5, 5), ("e", 18, 0)] {
        let values = (0..rows).map(|_| some(&mut dice).then(|| dice.decimal(precision as u64))).collect();
        columns.push(decimals(name, values, precision, scale));
    }
    with_ids(columns)
}

#[test]
fn random_rows_on_every_release() {
    for release in releases() {
        let server = Server::for_release(release, &[]);
        let lab = LoadHarness::at(server.url("postgres"), server);
        for seed in 1..=4 {
            round_trip(
                &lab,
                &random(0x5851_f42d_4c95_7f2d_u64.wrapping_mul(seed), 300),
                &format!("{} seed {seed}", release.version),
            );
        }
    }
}

#[test]
fn a_text_of_100_mb() {
    let Some(lab) = LoadHarness::new() else { return };
    let mut frame = numbered(0..3, |id| if id == 1 { "0123456789".repeat(10 << 20) } else { id.to_string() });
    lab.commit("d", &frame);
    assert_eq!(counts(&lab.load(UPSERT)), [3, 0, 0, 0, 0]);
    let digest = "SELECT length(note), md5(note) = md5(repeat('0123456789', 10485760)) FROM t WHERE id = 1";
    assert_eq!(lab.one(digest), "104857600,t");
    frame = frame
        .lazy()
        .with_column(when(col("id").eq(lit(2))).then(lit("x")).otherwise(col("note")).alias("note"))
        .collect()
        .unwrap();
    lab.commit("d", &frame);
    assert_eq!(counts(&lab.load(UPSERT)), [0, 1, 2, 0, 0]);
    assert_eq!(lab.one(digest), "104857600,t");
}
