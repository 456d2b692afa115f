//! Models with `when = "complete"`: a partition is published once every input partition it reads is complete, whatever changes meanwhile.

use serde_json::json;

use super::models::{BY_DAY, CONTRACT, csv, run_at};
use crate::support::project::{MORNING, Site};

const DAYS: &str = r#"partition_by = { column = "sold_at", every = "day" }"#;

/// `BY_DAY` with `when = "complete"`.
fn by_day() -> String {
    BY_DAY.replace("incremental", "when = \"complete\"\nincremental")
}

/// Adds the pipeline `stock` over the folder `stock-in`. Its watermark is the latest time of the schedule.
fn add_stock(site: &Site, cron: &str) {
    let source = "[source]\nkind = \"files\"\npath = \"stock-in\"\n";
    site.write("infra/pipelines/stock.toml", format!("schedule = {{ cron = \"{cron}\" }}\n{source}{CONTRACT}"));
}

/// The values of a dataset's partition column, in order.
fn partitions(site: &Site, dataset: &str) -> Vec<String> {
    let rows = site.sql(&format!("SELECT sold_on FROM {dataset} ORDER BY sold_on"));
    rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

/// Whether a step is due, and the number of its partitions to compute.
fn planned(site: &Site, step: &str, at: &str) -> (bool, Option<u64>) {
    let document = site.ask(&["plan", "--at", at]).expect(0).json();
    let planned = document["steps"].as_array().unwrap().iter().find(|planned| planned["step"] == step).unwrap();
    (planned["due"].as_bool().unwrap(), planned["partitions"].as_u64())
}

#[test]
fn a_changed_time_zone_publishes_days_that_were_held_back_and_withdraws_days_that_are_not_complete() {
    let new_york = CONTRACT.replace("every = \"day\"", "every = \"day\", timezone = \"America/New_York\"");
    let site = Site::with_orders(&format!("{new_york}{}", by_day()));
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1"), (2, "2011-12-08", "2")]));
    run_at(&site, MORNING);
    assert_eq!(partitions(&site, "by_day"), ["2011-12-07"]);
    // the rows of each day stay as they were
    site.orders(&format!("{CONTRACT}{}", by_day()));
    run_at(&site, MORNING);
    assert_eq!(partitions(&site, "by_day"), ["2011-12-07", "2011-12-08"]);
    site.orders(&format!("{new_york}{}", by_day()));
    run_at(&site, MORNING);
    assert_eq!(partitions(&site, "by_day"), ["2011-12-07"]);
}

#[test]
fn a_changed_when_publishes_what_was_held_back_and_withdraws_what_is_not_complete() {
    let site = Site::with_orders(&format!("{CONTRACT}{}", by_day()));
    site.write("in/a.csv", csv(&[(1, "2011-12-08", "1"), (2, "2011-12-09", "2")]));
    run_at(&site, MORNING);
    assert_eq!(partitions(&site, "by_day"), ["2011-12-08"]);
    site.orders(&format!("{CONTRACT}{BY_DAY}"));
    run_at(&site, MORNING);
    assert_eq!(partitions(&site, "by_day"), ["2011-12-08", "2011-12-09"]);
    site.orders(&format!("{CONTRACT}{}", by_day()));
    run_at(&site, MORNING);
    assert_eq!(partitions(&site, "by_day"), ["2011-12-08"]);
}

/// `by_day` and `above`, a model over it, both complete up to 9 December. Then `by_day` is rebuilt with the new input `stock`, which is
/// complete up to Monday 5 December and next up to Monday 12 December.
fn with_an_input_that_is_behind() -> Site {
    let above = r#"
[[model]]
name = "above"
sql = "SELECT sold_on, n * 2 AS twice FROM by_day"
partition_by = "sold_on"
when = "complete"
incremental = { lookback = "0d" }
"#;
    let site = Site::with_orders(&format!("{CONTRACT}{}{above}", by_day()));
    add_stock(&site, "0 0 ? * MON *");
    site.write("in/a.csv", csv(&[(1, "2011-12-04", "1"), (2, "2011-12-07", "2"), (3, "2011-12-08", "3")]));
    site.write("stock-in/a.csv", csv(&[(1, "2011-12-04", "1"), (3, "2011-12-08", "1"), (4, "2011-12-08", "1")]));
    run_at(&site, MORNING);
    for model in ["by_day", "above"] {
        assert_eq!(partitions(&site, model), ["2011-12-04", "2011-12-07", "2011-12-08"]);
    }
    let alone = "SELECT sold_on, COUNT(*) AS n, SUM(price) AS revenue FROM orders GROUP BY sold_on";
    let joined =
        "SELECT o.sold_on, COUNT(*) AS n FROM orders AS o JOIN stock AS s ON s.sold_on = o.sold_on GROUP BY o.sold_on";
    site.orders(&format!("{CONTRACT}{}{above}", by_day().replace(alone, joined)));
    run_at(&site, MORNING);
    assert_eq!(partitions(&site, "by_day"), ["2011-12-04"]);
    site
}

#[test]
fn a_new_input_that_is_behind_holds_partitions_back_until_it_has_caught_up() {
    let site = with_an_input_that_is_behind();
    run_at(&site, "2011-12-12T08:00:00Z");
    let rows = site.sql("SELECT sold_on, n FROM by_day ORDER BY sold_on");
    assert_eq!(rows, [[json!("2011-12-04"), json!(1)], [json!("2011-12-08"), json!(2)]]);
}

#[test]
fn a_model_over_one_that_is_behind_again_keeps_its_partitions_until_they_are_complete() {
    let site = with_an_input_that_is_behind();
    assert_eq!(partitions(&site, "above"), ["2011-12-04", "2011-12-07", "2011-12-08"]);
    let status = site.ask(&["status"]).expect(0).json();
    let watermark = |name: &str| {
        let datasets = status["datasets"].as_array().unwrap();
        datasets.iter().find(|dataset| dataset["name"] == name).unwrap()["watermark"].clone()
    };
    assert_eq!(watermark("orders"), "2011-12-09T00:00:00Z");
    assert_eq!((watermark("by_day"), watermark("above")), (watermark("stock"), watermark("stock")));
    // 7 December has no rows any more, and they were removed before it was complete
    run_at(&site, "2011-12-12T08:00:00Z");
    let rows = site.sql("SELECT sold_on, twice FROM above ORDER BY sold_on");
    assert_eq!(rows, [[json!("2011-12-04"), json!(2)], [json!("2011-12-08"), json!(4)]]);
}

/// The `orders` of a month and the `stock` of a day; the model is partitioned by day.
fn days_over_months(timezone: &str, incremental: &str) -> Site {
    let months = DAYS.replace("\"day\"", &format!("\"month\", timezone = \"{timezone}\""));
    let model = format!(
        r#"
[[model]]
name = "both"
sql = "SELECT s.sold_on, COUNT(*) AS n FROM stock AS s JOIN orders AS o ON o.id = s.id GROUP BY s.sold_on"
partition_by = "sold_on"
when = "complete"
{incremental}
"#
    );
    let site = Site::with_orders(&format!("{}{model}", CONTRACT.replace(DAYS, &months)));
    add_stock(&site, "0 0 20 * ? *");
    site.write("in/a.csv", csv(&[(1, "2011-12-10", "1")]));
    site.write("stock-in/a.csv", csv(&[(1, "2011-12-10", "1"), (1, "2011-12-25", "1")]));
    site
}

#[test]
fn a_model_of_months_and_days_has_nothing_to_do_while_nothing_changes() {
    for incremental in ["incremental = { lookback = \"0d\" }", ""] {
        let site = days_over_months("UTC", incremental);
        // complete up to 10 January and 20 December
        let now = "2012-01-10T08:00:00Z";
        run_at(&site, now);
        assert_eq!(partitions(&site, "both"), ["2011-12-10"]);
        assert_eq!(planned(&site, "model both", now), (false, None), "{incremental}");
        run_at(&site, "2012-01-11T08:00:00Z");
        assert_eq!(planned(&site, "model both", "2012-01-11T08:00:00Z"), (false, None), "{incremental}");
        run_at(&site, "2012-01-20T08:00:00Z");
        assert_eq!(partitions(&site, "both"), ["2011-12-10", "2011-12-25"]);
    }
}

/// The stock is complete up to 20 December throughout.
#[test]
fn a_partition_is_published_when_an_input_that_is_ahead_completes_it() {
    for incremental in ["incremental = { lookback = \"0d\" }", ""] {
        let site = days_over_months("America/New_York", incremental);
        run_at(&site, "2012-01-01T08:00:00Z");
        assert!(partitions(&site, "both").is_empty());
        run_at(&site, "2012-01-02T08:00:00Z");
        assert_eq!(partitions(&site, "both"), ["2011-12-10"], "{incremental}");
    }
}
