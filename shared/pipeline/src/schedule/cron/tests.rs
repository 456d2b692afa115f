use jiff::civil::date;

use super::*;

fn days(cron: &str, from: Date, count: usize) -> Vec<String> {
    cron.parse::<Cron>().unwrap().days_from(from).take(count).map(|day| day.to_string()).collect()
}

#[test]
fn days_of_the_month() {
    let start = date(2024, 1, 15);
    assert_eq!(days("0 8 * * ? *", start, 2), ["2024-01-15", "2024-01-16"]);
    assert_eq!(days("0 8 1,15 * ? *", start, 3), ["2024-01-15", "2024-02-01", "2024-02-15"]);
    assert_eq!(days("0 8 31 * ? *", start, 3), ["2024-01-31", "2024-03-31", "2024-05-31"]);
    assert_eq!(days("0 8 L * ? *", start, 3), ["2024-01-31", "2024-02-29", "2024-03-31"]);
    assert_eq!(days("0 8 29 FEB ? *", start, 2), ["2024-02-29", "2028-02-29"]);
    assert_eq!(days("0 8 1/10 1 ? *", start, 3), ["2024-01-21", "2024-01-31", "2025-01-01"]);
}

#[test]
fn the_nearest_weekday_stays_in_its_month() {
    // 1 June 2024 is a Saturday, 30 June 2024 a Sunday, 15 June a Saturday
    assert_eq!(days("0 8 1W 6 ? 2024", date(2024, 1, 1), 2), ["2024-06-03"]);
    assert_eq!(days("0 8 30W 6 ? 2024", date(2024, 1, 1), 2), ["2024-06-28"]);
    assert_eq!(days("0 8 15W 6 ? 2024", date(2024, 1, 1), 2), ["2024-06-14"]);
    assert_eq!(days("0 8 16W 6 ? 2024", date(2024, 1, 1), 2), ["2024-06-17"]);
    assert_eq!(days("0 8 31W * ? 2024", date(2024, 1, 1), 2), ["2024-01-31", "2024-03-29"]);
}

#[test]
fn days_of_the_week_count_from_sunday() {
    let start = date(2024, 1, 1);
    assert_eq!(days("0 8 ? * 1 *", start, 1), ["2024-01-07"]);
    assert_eq!(days("0 8 ? * MON-FRI *", date(2024, 1, 5), 2), ["2024-01-05", "2024-01-08"]);
    assert_eq!(days("0 8 ? * L *", start, 1), ["2024-01-06"]);
    assert_eq!(days("0 8 ? * 6L *", start, 2), ["2024-01-26", "2024-02-23"]);
    assert_eq!(days("0 8 ? * TUE#2 *", start, 2), ["2024-01-09", "2024-02-13"]);
    assert_eq!(days("0 8 ? * 5#5 *", start, 2), ["2024-02-29", "2024-05-30"]);
    assert_eq!(days("0 8 ? 1/6 sat,Sun 2024-2025/1", start, 1), ["2024-01-06"]);
}

#[test]
fn times_of_a_day() {
    let times = |cron: &str| {
        cron.parse::<Cron>().unwrap().times(0..=23).map(|(h, m)| format!("{h}:{m:02}")).collect::<Vec<_>>()
    };
    assert_eq!(times("0 */8 * * ? *"), ["0:00", "8:00", "16:00"]);
    assert_eq!(times("5/25 7 * * ? *"), ["7:05", "7:30", "7:55"]);
    assert_eq!(times("10-20/5,0 7,6 * * ? *").len(), 8);
    assert_eq!(times("* * * * ? *").len(), 1440);
}

#[test]
fn what_eventbridge_would_refuse() {
    let error = |cron: &str| {
        let error = cron.parse::<Cron>().unwrap_err();
        format!("{}: {error}", error.at)
    };
    assert_eq!(
        error("0 8 * * *"),
        "0: 5 fields; expected six fields: minute hour day-of-month month day-of-week year, as in `0 8 * * ? *`"
    );
    assert!(error("").starts_with("0: 0 fields;"));
    assert!(error("@daily").starts_with("0: 1 field;"));
    assert!(error("cron(0 8 * * ? *)").starts_with("0: `cron(…)` around the fields; expected six fields"));
    assert_eq!(error("60 8 * * ? *"), "0: `60` in the minute field; expected 0-59 with , - * /");
    assert_eq!(error("0  24 * * ? *"), "3: `24` in the hour field; expected 0-23 with , - * /");
    assert_eq!(
        error("0 8 * * * *"),
        "4: both day-of-month and day-of-week are given; expected `?` for exactly one of the two"
    );
    assert_eq!(
        error("0 8 ? * ? *"),
        "4: `?` for both day-of-month and day-of-week; expected `?` for exactly one of the two"
    );
    assert_eq!(error("0 8,9,x * * ? *"), "6: `x` in the hour field; expected 0-23 with , - * /");
    for wrong in [
        "0 8 ? * 0 *",
        "0 8 ? * 8 *",
        "0 8 ? * MON/2 *",
        "0 8 ? * FRI-MON *",
        "0 8 ? * 3#6 *",
        "0 8 ? * 3#2,4#1 *",
        "0 8 LW * ? *",
        "0 8 L-3 * ? *",
        "0 8 32 * ? *",
        "0 8 0W * ? *",
        "0 8 * 13 ? *",
        "0 8 * * ? 1969",
        "0 8 * * ? 2200",
        "*/0 8 * * ? *",
        "/5 8 * * ? *",
        "5- 8 * * ? *",
        "+5 8 * * ? *",
        "5,, 8 * * ? *",
        "0 8 30 FEB ? *",
        "0 8 29 2 ? 2023",
        "? 8 * * ? *",
        "0 8 * * ? ?",
        "-1 8 * * ? *",
        "1-5/x 8 * * ? *",
        "99999999999999 8 * * ? *",
        "0 8 * JANUARY ? *",
        "0 8 ? * #2 *",
        "0\t8 * * ? *",
    ] {
        assert!(wrong.parse::<Cron>().is_err(), "{wrong}");
    }
}

#[test]
fn spaces_are_made_one() {
    assert_eq!(" 0   8 * * ? * ".parse::<Cron>().unwrap().as_str(), "0 8 * * ? *");
}
