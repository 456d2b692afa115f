use jiff::civil::date;

use super::*;
use crate::graph::Graph;
use crate::{SourceFile, read};

/// `name`, its contract's `partition_by` (a `day` is a date, an `at` a datetime), and its models: name, `partition_by`, SQL.
fn pipeline(name: &str, partition_by: &str, models: &[(&str, &str, &str)]) -> (String, String) {
    let mut text = String::new();
    if !partition_by.is_empty() {
        text = format!(
            "[source]\nkind = 'files'\npath = 'in'\n[contract]\nkey = 'id'\npartition_by = {partition_by}\n\
             [contract.columns]\nid = 'int64'\nday = 'date'\nat = 'datetime'\ncountry = 'string'\nlines = 'string'\n\
             [contract.explode.{name}_lines]\ncolumn = 'lines'\ncolumns = {{ sku = 'string' }}\n"
        );
    }
    for (model, partition_by, sql) in models {
        let partition_by =
            if partition_by.is_empty() { String::new() } else { format!("partition_by = {partition_by}\n") };
        text += &format!("[[model]]\nname = '{model}'\n{partition_by}sql = '{sql}'\n");
    }
    (format!("{name}.toml"), text)
}

fn graph(pipelines: &[(String, String)]) -> Graph {
    let definition = |(path, text): &(String, String)| {
        let file = SourceFile::new(path, text.as_bytes()).unwrap();
        read(&file, &|_| None, &|_| Err("no file".to_owned())).unwrap_or_else(|all| panic!("{all:#?}"))
    };
    Graph::new(pipelines.iter().map(definition).collect()).unwrap_or_else(|all| panic!("{all:#?}"))
}

/// `sold_month: Month (Europe/Berlin)`
fn shown(graph: &Graph, dataset: &str) -> String {
    match graph.partitioning(&dataset.parse().unwrap()) {
        Some(Partitioning { column, granularity, timezone }) => {
            format!("{column}: {granularity:?} ({})", timezone.iana_name().unwrap())
        }
        None => "none".to_owned(),
    }
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn partitioning(granularity: Granularity, timezone: &str) -> Partitioning {
    Partitioning { column: "p".parse().unwrap(), granularity, timezone: TimeZone::get(timezone).unwrap() }
}

fn firsts(periods: Vec<PartitionPeriod>) -> Vec<String> {
    periods.iter().map(ToString::to_string).collect()
}

const MONTHS: &str = "{ column = 'at', every = 'month', timezone = 'Europe/Berlin', as = 'sold_month' }";
const DAYS: &str = "{ column = 'at', every = 'day', timezone = 'Asia/Tokyo', as = 'sold_on' }";

#[test]
fn a_contract_says_it_of_its_dataset() {
    for (partition_by, expected) in [
        (MONTHS, "sold_month: Month (Europe/Berlin)"),
        (DAYS, "sold_on: Day (Asia/Tokyo)"),
        ("{ column = 'at', every = 'day' }", "on: Day (UTC)"),
        ("'day'", "day: Day (UTC)"),
        ("{ column = 'day', every = 'month' }", "day_month: Month (UTC)"),
        ("'country'", "country: Value (UTC)"),
        ("'id'", "id: Value (UTC)"),
    ] {
        let partition_by = partition_by.replace("every = 'day' }", "every = 'day', as = 'on' }");
        let graph = graph(&[pipeline("sales", &partition_by, &[])]);
        assert_eq!(shown(&graph, "sales"), expected);
        // exploded arrays have the partitioning of their parent
        assert_eq!(shown(&graph, "sales_lines"), expected);
        assert_eq!(shown(&graph, "sales.raw"), "_object: Value (UTC)");
        assert_eq!(shown(&graph, "sales.quarantine"), "_object: Value (UTC)");
    }
    assert_eq!(shown(&graph(&[]), "sales"), "none");
}

#[test]
fn a_model_has_that_of_its_inputs_whichever_pipeline_it_is_in() {
    let sales = pipeline("sales", MONTHS, &[("own", "'sold_month'", "SELECT sold_month, 1 AS n FROM sales")]);
    let stock = pipeline("stock", DAYS, &[]);
    let places = pipeline("places", "'country'", &[]);
    let other = pipeline(
        "other",
        "",
        &[
            ("whole", "", "SELECT * FROM sales"),
            ("theirs", "'sold_month'", "SELECT * FROM own JOIN places ON own.n = places.id"),
            ("daily", "'day'", "SELECT day FROM sales"),
            ("again", "'date'", "SELECT day AS date FROM daily"),
            ("broken", "'day'", "SELECT * FROM sales.quarantine"),
            ("both", "'day'", "SELECT * FROM sales JOIN stock ON sales.day = stock.day"),
            ("stocked", "'sold_on'", "SELECT * FROM sales JOIN stock ON sales.day = stock.day"),
            ("renamed", "'month'\nincremental = { lookback = '0d' }", "SELECT sold_month AS month FROM places, sales"),
            ("mixed", "'p'\nincremental = { lookback = '0d' }", "SELECT sold_on AS p FROM sales, stock"),
        ],
    );
    // in any order of the files
    for pipelines in [[&sales, &stock, &places, &other], [&other, &places, &stock, &sales]] {
        let graph = graph(&pipelines.map(Clone::clone));
        for (dataset, expected) in [
            ("own", "sold_month: Month (Europe/Berlin)"),
            ("whole", "none"),
            ("theirs", "sold_month: Month (Europe/Berlin)"),
            ("daily", "day: Value (Europe/Berlin)"),
            ("again", "date: Value (Europe/Berlin)"),
            ("broken", "day: Value (UTC)"),
            ("both", "day: Value (UTC)"),
            ("stocked", "sold_on: Day (Asia/Tokyo)"),
            ("renamed", "month: Month (Europe/Berlin)"),
            ("mixed", "p: Day (Asia/Tokyo)"),
        ] {
            assert_eq!(shown(&graph, dataset), expected, "{dataset}");
        }
    }
}

#[test]
fn what_a_model_says_of_its_partitions_is_so() {
    let stock = pipeline("stock", DAYS, &[]);
    let declared = |by: &str| {
        let sql = "SELECT sold_on, count(*) AS n FROM stock GROUP BY 1";
        shown(&graph(&[stock.clone(), pipeline("other", "", &[("m", by, sql)])]), "m")
    };
    assert_eq!(declared("{ column = 'month', every = 'month' }"), "month: Month (Asia/Tokyo)");
    assert_eq!(declared("{ column = 'sold_on', every = 'month' }"), "sold_on: Month (Asia/Tokyo)");
    assert_eq!(declared("{ column = 'd', every = 'day', timezone = 'Europe/Berlin' }"), "d: Day (Europe/Berlin)");
}

#[test]
fn the_shortest_partitions_of_different_inputs_count() {
    let days = pipeline("days", "{ column = 'at', every = 'day', timezone = 'Asia/Tokyo', as = 'p' }", &[]);
    let months = pipeline("months", "{ column = 'at', every = 'month', as = 'p' }", &[]);
    let sql = "SELECT p FROM months UNION ALL SELECT p FROM days";
    let graph = graph(&[days, months, pipeline("both", "", &[("all", "'p'", sql)])]);
    assert_eq!(shown(&graph, "all"), "p: Day (Asia/Tokyo)");
}

#[test]
fn a_value_is_a_part_of_the_calendar_or_none() {
    let period = |granularity, value| partitioning(granularity, "UTC").period(value);
    let days = |first, last| Some(PartitionPeriod::Days { first, last });
    let eighth = date(2011, 12, 8);
    assert_eq!(period(Granularity::Day, Some("2011-12-08")), days(eighth, eighth));
    assert_eq!(period(Granularity::Value, Some("2011-12-08")), days(eighth, eighth));
    assert_eq!(period(Granularity::Month, Some("2011-12-01")), days(date(2011, 12, 1), date(2011, 12, 31)));
    assert_eq!(period(Granularity::Month, Some("2012-02-01")), days(date(2012, 2, 1), date(2012, 2, 29)));
    for granularity in [Granularity::Day, Granularity::Value, Granularity::Month] {
        assert_eq!(period(granularity, None), Some(PartitionPeriod::Undated));
    }
    assert_eq!(period(Granularity::Day, Some("UK")), None);
    assert_eq!(period(Granularity::Month, Some("")), None);
    assert_eq!(period(Granularity::Value, Some("UK")), Some(PartitionPeriod::Value("UK".to_owned())));
    // the name of an object may have the form of a date
    let object = Partitioning::for_objects().period(Some("2011-12-08"));
    assert_eq!(object, Some(PartitionPeriod::Value("2011-12-08".to_owned())));
    let month = period(Granularity::Month, Some("2011-12-01")).unwrap();
    assert_eq!((month.first_day(), month.to_string().as_str()), (Some(date(2011, 12, 1)), "2011-12-01"));
    assert_eq!(PartitionPeriod::Undated.to_string(), "without a date");
}

#[test]
fn a_period_ends_in_its_own_time_zone() {
    let end = |granularity, timezone, value| {
        let partitioning = partitioning(granularity, timezone);
        let period = partitioning.period(Some(value)).unwrap();
        let end = partitioning.end(&period).unwrap();
        let just_before = end.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap();
        assert!(partitioning.is_complete(&period, Some(end)));
        assert!(!partitioning.is_complete(&period, Some(just_before)) && !partitioning.is_complete(&period, None));
        end.to_string()
    };
    use Granularity::{Day, Month};
    assert_eq!(end(Day, "UTC", "2011-12-08"), "2011-12-09T00:00:00Z");
    assert_eq!(end(Month, "UTC", "2011-12-01"), "2012-01-01T00:00:00Z");
    // days of 23 and 25 hours
    assert_eq!(end(Day, "Europe/Berlin", "2024-03-30"), "2024-03-30T23:00:00Z");
    assert_eq!(end(Day, "Europe/Berlin", "2024-03-31"), "2024-03-31T22:00:00Z");
    assert_eq!(end(Day, "Europe/Berlin", "2024-10-27"), "2024-10-27T23:00:00Z");
    assert_eq!(end(Month, "Europe/Berlin", "2024-03-01"), "2024-03-31T22:00:00Z");
    assert_eq!(end(Month, "Europe/Berlin", "2024-10-01"), "2024-10-31T23:00:00Z");
    assert_eq!(end(Month, "America/New_York", "2024-11-01"), "2024-12-01T05:00:00Z");
    // clocks change from 00:00 to 01:00
    assert_eq!(end(Day, "America/Sao_Paulo", "2018-11-03"), "2018-11-04T03:00:00Z");
    // from 00:00 back to 23:00: the last hour is repeated
    assert_eq!(end(Day, "America/Sao_Paulo", "2018-02-17"), "2018-02-18T03:00:00Z");
    // from 00:01 back to 23:01
    assert_eq!(end(Day, "America/Goose_Bay", "2010-11-06"), "2010-11-07T04:00:00Z");
    // Samoa went from 29 to 31 December 2011
    assert_eq!(end(Day, "Pacific/Apia", "2011-12-29"), "2011-12-30T10:00:00Z");
    assert_eq!(end(Day, "Pacific/Apia", "2011-12-30"), "2011-12-30T10:00:00Z");
}

#[test]
fn what_lies_nowhere_is_never_complete() {
    let partitioning = partitioning(Granularity::Value, "UTC");
    for value in [None, Some("UK")] {
        let period = partitioning.period(value).unwrap();
        assert_eq!(partitioning.end(&period), None);
        assert!(!partitioning.is_complete(&period, at("9999-01-01T00:00:00Z")));
        assert_eq!(partitioning.read_by(&period, 7), std::slice::from_ref(&period));
        assert_eq!(partitioning.reading(&period, 7), std::slice::from_ref(&period));
    }
}

#[test]
fn days_and_months_lie_in_each_other() {
    let (day, month) = (partitioning(Granularity::Day, "UTC"), partitioning(Granularity::Month, "UTC"));
    let read = |by: &Partitioning, value, of: &Partitioning, lookback| {
        firsts(of.read_by(&by.period(Some(value)).unwrap(), lookback))
    };
    assert_eq!(read(&day, "2011-12-08", &day, 2), ["2011-12-06", "2011-12-07", "2011-12-08"]);
    assert_eq!(read(&day, "2011-12-08", &month, 0), ["2011-12-01"]);
    assert_eq!(read(&day, "2011-12-08", &month, 7), ["2011-12-01"]);
    assert_eq!(read(&day, "2011-12-08", &month, 8), ["2011-11-01", "2011-12-01"]);
    assert_eq!(read(&month, "2011-12-01", &month, 0), ["2011-12-01"]);
    assert_eq!(read(&month, "2012-03-01", &month, 30), ["2012-01-01", "2012-02-01", "2012-03-01"]);
    let december = read(&month, "2011-12-01", &day, 0);
    assert_eq!((december.len(), december[0].as_str(), december[30].as_str()), (31, "2011-12-01", "2011-12-31"));
    assert_eq!(read(&month, "2011-12-01", &day, 1)[0], "2011-11-30");

    let readers = |of: &Partitioning, value, by: &Partitioning, lookback| {
        firsts(by.reading(&of.period(Some(value)).unwrap(), lookback))
    };
    assert_eq!(readers(&day, "2011-12-08", &day, 2), ["2011-12-08", "2011-12-09", "2011-12-10"]);
    assert_eq!(readers(&day, "2011-12-31", &month, 0), ["2011-12-01"]);
    assert_eq!(readers(&day, "2011-12-31", &month, 1), ["2011-12-01", "2012-01-01"]);
    assert_eq!(readers(&month, "2011-12-01", &day, 0).len(), 31);
    assert_eq!(readers(&month, "2011-12-01", &day, 2).last().unwrap(), "2012-01-02");
    // at both ends of the calendar
    assert_eq!(read(&day, "-009999-01-02", &day, 9), ["-009999-01-01", "-009999-01-02"]);
    assert_eq!(readers(&day, "9999-12-31", &month, 9), ["9999-12-01"]);
}

/// `read_by` and `reading` agree.
#[test]
fn both_ways_agree() {
    let all = [Granularity::Day, Granularity::Month].map(|granularity| partitioning(granularity, "UTC"));
    let span = (date(2023, 12, 1), date(2024, 4, 30));
    for (model, input) in all.iter().flat_map(|model| all.iter().map(move |input| (model, input))) {
        for lookback in [0, 1, 7, 29, 30, 31, 61] {
            for of_model in model.between(span.0, span.1) {
                for of_input in input.between(span.0, span.1) {
                    let reads = input.read_by(&of_model, lookback).contains(&of_input);
                    assert_eq!(model.reading(&of_input, lookback).contains(&of_model), reads, "{of_model} {of_input}");
                }
            }
        }
    }
}

#[test]
fn a_model_over_another_pipelines_months_waits_for_their_end_in_their_time_zone() {
    let sales = pipeline("sales", MONTHS, &[]);
    let sql = "SELECT sold_month, count(*) AS n FROM sales GROUP BY sold_month";
    let graph = graph(&[sales, pipeline("report", "", &[("by_month", "'sold_month'", sql)])]);
    let of = |name: &str| graph.partitioning(&name.parse().unwrap());
    let model = of("by_month").unwrap();
    let december = model.period(Some("2011-12-01")).unwrap();
    let is_complete = |mark| model.is_model_complete(&december, [(of("sales"), at(mark))]);
    assert!(!is_complete("2011-12-02T00:00:00Z"));
    assert!(!is_complete("2011-12-31T22:59:59Z"));
    // midnight in Berlin
    assert!(is_complete("2011-12-31T23:00:00Z"));
}

#[test]
fn a_daily_model_over_months_waits_for_the_end_of_the_month_and_no_longer() {
    let sql = "SELECT day, count(*) AS n FROM sales GROUP BY day";
    let graph = graph(&[pipeline("sales", MONTHS, &[("by_day", "'day'", sql)])]);
    let of = |name: &str| graph.partitioning(&name.parse().unwrap());
    let model = of("by_day").unwrap();
    let is_complete = |day, mark| {
        let period = model.period(Some(day)).unwrap();
        model.is_model_complete(&period, [(of("sales"), at(mark))])
    };
    for day in ["2011-12-01", "2011-12-08", "2011-12-31"] {
        assert!(!is_complete(day, "2011-12-31T22:59:59Z"), "{day}");
        assert!(is_complete(day, "2011-12-31T23:00:00Z"), "{day}");
    }
    assert!(!is_complete("2012-01-01", "2012-01-31T22:59:59Z"));
}

#[test]
fn every_input_has_its_own_end() {
    let (day, month) = (partitioning(Granularity::Day, "America/New_York"), partitioning(Granularity::Month, "UTC"));
    let (values, objects) = (partitioning(Granularity::Value, "UTC"), Partitioning::for_objects());
    let eighth = day.period(Some("2011-12-08")).unwrap();
    let complete =
        |inputs: &[(Option<&Partitioning>, Option<Timestamp>)]| day.is_model_complete(&eighth, inputs.iter().copied());
    let (over, year) = (at("2011-12-09T05:00:00Z"), at("2012-01-01T00:00:00Z"));
    assert!(!complete(&[]));
    for input in [Some(&day), Some(&values), Some(&objects), None] {
        assert!(complete(&[(input, over)]), "{input:?}");
        assert!(!complete(&[(input, at("2011-12-09T04:59:59Z"))]) && !complete(&[(input, None)]), "{input:?}");
    }
    assert!(!complete(&[(Some(&day), over), (Some(&month), over)]));
    assert!(complete(&[(Some(&day), over), (Some(&month), year)]));
    assert!(!complete(&[(Some(&month), year), (Some(&day), None)]));
}
