use super::*;
use crate::definition::*;

const MODEL: &str = "\n[[model]]\nname = 'm'\nsql = 'SELECT 1 AS one'\n";

fn schedule(schedule: &str) -> Schedule {
    let text = format!("schedule = {schedule}{MODEL}");
    read_text(&text).unwrap_or_else(|all| panic!("{all:#?}")).schedule.unwrap()
}

fn schedule_errors(schedule: &str) -> Vec<String> {
    errors(&format!("schedule = {schedule}{MODEL}"))
}

#[test]
fn schedules() {
    let rate = schedule("{ rate = '4 hours' }");
    assert_eq!((rate.to_string().as_str(), rate.period_s()), ("rate 4 hours", Some(14_400)));
    assert_eq!((rate.timezone.as_str(), rate.catch_up), ("UTC", CatchUp::Last));
    assert_eq!(schedule("{ cron = '0 8 * * ? *', catch_up = 'none' }").catch_up, CatchUp::Nothing);
    assert_eq!(schedule("{ cron = '0 8 * * ? *', catch_up = 'last' }").catch_up, CatchUp::Last);
    assert_eq!(
        serde_json::to_string(&schedule("{ cron = '0  8 * * ? *', catch_up = 'none' }")).unwrap(),
        r#"{"cron":"0 8 * * ? *","timezone":"UTC","catch_up":"none"}"#
    );
    assert_eq!(serde_json::to_string(&rate).unwrap(), r#"{"rate":"4 hours","timezone":"UTC","catch_up":"last"}"#);
}

#[test]
fn what_is_no_schedule() {
    assert_eq!(
        schedule_errors("{ catch_up = 'first', timezone = 'UTC' }"),
        [
            "1:12: [schedule] has no `cron`; expected `cron = \"0 8 * * ? *\"` or `rate = \"4 hours\"`",
            "1:25: `first` for `catch_up` in [schedule]; expected one of `last`, `all`, `none`",
        ]
    );
    assert_eq!(
        schedule_errors("{ cron = '0 8 * * ? *', rate = '4 hours' }"),
        ["1:43: `rate` in [schedule]; expected either `cron` or `rate`"]
    );
    assert_eq!(
        schedule_errors("{ rate = 'rate(4 hours)', timezone = 'Europe/London' }"),
        [
            "1:22: `rate(…)` around the value and its unit; expected a value and a unit, as in `15 minutes`, `4 hours` or \
             `1 day`; write `4 hours`",
            "1:49: `timezone` in [schedule]; expected no time zone with a rate, which fires at multiples of its period since \
             1970-01-01T00:00:00Z",
        ]
    );
    assert_eq!(
        schedule_errors("{ rate = ' 1 hours' }"),
        ["1:25: `hours` for the unit of a rate of 1; expected one of `minute`, `hour`, `day`; did you mean `hour`?"]
    );
    assert_eq!(schedule_errors("{ rate = 4 }"), ["1:21: the number `4` for `rate` in [schedule]; expected a string"]);
    assert_eq!(
        schedule_errors("{ rate = '' }"),
        ["1:21: an empty value for `rate` in [schedule]; expected a value and a unit, as in `4 hours`"]
    );
    assert_eq!(
        schedule_errors("{ crn = '0 8 * * ? *' }")[1],
        "1:14: unknown field `crn` in [schedule]; expected one of `cron`, `rate`, `timezone`, `catch_up`; did you mean `cron`?"
    );
}
