//! Models: partitions are recomputed if their inputs changed, and committed if their result changed.

use serde_json::json;

use crate::support::project::{Answer, MORNING, Site};

pub(super) const CONTRACT: &str = r#"
[contract]
partition_by = { column = "sold_at", every = "day" }
[contract.columns]
id = { type = "int64", required = true }
sold_at = "datetime"
price = "decimal(10,2)"
"#;
pub(super) const BY_DAY: &str = r#"
[[model]]
name = "by_day"
sql = "SELECT sold_on, COUNT(*) AS n, SUM(price) AS revenue FROM orders GROUP BY sold_on"
partition_by = "sold_on"
incremental = { lookback = "0d" }
"#;

pub(super) fn csv(rows: &[(i64, &str, &str)]) -> String {
    let rows = rows.iter().map(|(id, day, price)| format!("{id},{day}T10:00:00Z,{price}\n"));
    "id,sold_at,price\n".to_owned() + &rows.collect::<String>()
}

pub(super) fn run_at(site: &Site, at: &str) -> Answer {
    site.ask(&["run", "--at", at]).expect(0)
}

/// Version of the newest commit of a dataset, and the numbers of files it added and removed.
fn newest(site: &Site, dataset: &str) -> (i64, i64, i64) {
    let row = &site.ask(&["show", dataset, "--history", "--limit", "1"]).expect(0).rows()[0];
    let number = |at: usize| row[at].as_i64().unwrap();
    (number(0), number(3), number(4))
}

#[test]
fn only_partitions_whose_inputs_changed_are_recomputed() {
    let site = Site::with_orders(&format!("{CONTRACT}{BY_DAY}"));
    for day in 1..=8 {
        site.write(&format!("in/{day}.csv"), csv(&[(day, &format!("2011-12-{day:02}"), "1.50")]));
    }
    run_at(&site, MORNING);
    assert_eq!(newest(&site, "by_day"), (0, 8, 0));
    site.write("in/8b.csv", csv(&[(9, "2011-12-08", "2"), (10, "2011-12-03", "1")]));
    let model = run_at(&site, MORNING).step("model by_day");
    assert_eq!(newest(&site, "by_day"), (1, 2, 2));
    assert_eq!((&model["rows"]["in"], &model["outputs"][0]["partitions"]), (&json!(2), &json!(2)));
    let rows = site.sql("SELECT sold_on, n, revenue FROM by_day WHERE n > 1 ORDER BY sold_on");
    assert_eq!(rows, [[json!("2011-12-03"), json!(2), json!(2.5)], [json!("2011-12-08"), json!(2), json!(3.5)]]);
    // A day without rows has no partition.
    site.write("in/1.csv", "id,sold_at,price\n");
    run_at(&site, MORNING);
    assert_eq!(newest(&site, "by_day"), (2, 0, 1));
}

#[test]
fn an_unchanged_result_stops_the_cascade() {
    let models = r#"
[[model]]
name = "ids"
sql = "SELECT COUNT(DISTINCT id) AS n FROM orders"
[[model]]
name = "above"
sql = "SELECT n * 2 AS twice FROM ids"
"#;
    let site = Site::with_orders(&format!("{CONTRACT}{models}"));
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1")]));
    run_at(&site, MORNING);
    site.write("in/b.csv", csv(&[(1, "2011-12-08", "1")]));
    let answer = run_at(&site, MORNING);
    assert_eq!(answer.step("clean")["status"], "done");
    for model in ["model ids", "model above"] {
        assert_eq!(answer.step(model)["rows"]["written"], 0);
    }
    // The commits only record the input versions.
    assert_eq!((newest(&site, "ids"), newest(&site, "above")), ((1, 0, 0), (1, 0, 0)));
    site.write("in/c.csv", csv(&[(2, "2011-12-08", "1")]));
    run_at(&site, MORNING);
    assert_eq!(site.sql("SELECT twice FROM above"), [[4]]);
}

#[test]
fn a_complete_model_waits_for_the_watermark() {
    let model = BY_DAY.replace("incremental", "when = \"complete\"\nincremental");
    let site = Site::with_orders(&format!("{CONTRACT}{model}"));
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1"), (2, "2011-12-08", "2"), (3, "2011-12-09", "3")]));
    let days = |site: &Site| site.sql("SELECT sold_on FROM by_day ORDER BY sold_on");
    // Without a schedule, data is complete up to the last midnight.
    run_at(&site, "2011-12-08T08:00:00Z");
    assert_eq!(days(&site), [["2011-12-07"]]);
    run_at(&site, "2011-12-08T23:59:59Z");
    assert_eq!(days(&site), [["2011-12-07"]]);
    run_at(&site, "2011-12-09T00:00:00Z");
    assert_eq!(days(&site), [["2011-12-07"], ["2011-12-08"]]);
    assert_eq!(newest(&site, "by_day").1, 1);
    // A late row changes a day that is complete already.
    site.write("in/b.csv", csv(&[(4, "2011-12-07", "10"), (5, "2011-12-09", "3")]));
    run_at(&site, "2011-12-09T01:00:00Z");
    assert_eq!(site.sql("SELECT revenue FROM by_day ORDER BY sold_on"), [[11.0], [2.0]]);
    run_at(&site, "2011-12-10T00:00:00Z");
    assert_eq!(site.sql("SELECT revenue FROM by_day ORDER BY sold_on"), [[11.0], [2.0], [6.0]]);
}

/// The partitioning is a property of the dataset, not of the pipeline whose model reads it.
#[test]
fn months_of_another_pipeline_end_in_the_time_zone_of_that_pipeline() {
    let months = "partition_by = { column = \"sold_at\", every = \"month\", timezone = \"America/New_York\" }";
    let contract = CONTRACT.replace("partition_by = { column = \"sold_at\", every = \"day\" }", months);
    let site = Site::with_orders(&contract);
    let totals = r#"
[[model]]
name = "totals"
sql = "SELECT sold_month, SUM(price) AS revenue FROM orders GROUP BY sold_month"
partition_by = "sold_month"
when = "complete"
incremental = { lookback = "0d" }
"#;
    site.write("infra/pipelines/totals.toml", totals);
    site.write("in/a.csv", csv(&[(1, "2011-11-30", "1"), (2, "2011-12-01", "2")]));
    let complete_at = |at: &str| {
        run_at(&site, at);
        site.sql("SELECT sold_month FROM totals ORDER BY sold_month")
    };
    assert_eq!(complete_at("2011-12-02T08:00:00Z"), [["2011-11-01"]]);
    site.write("in/b.csv", csv(&[(3, "2011-12-31", "3")]));
    // The last midnight of UTC is five hours before that of New York.
    assert_eq!(complete_at("2012-01-01T08:00:00Z"), [["2011-11-01"]]);
    assert_eq!(complete_at("2012-01-02T08:00:00Z"), [["2011-11-01"], ["2011-12-01"]]);
    assert_eq!(site.sql("SELECT revenue FROM totals ORDER BY sold_month"), [[1.0], [5.0]]);
}

#[test]
fn a_model_with_lookback_recomputes_the_following_days() {
    let model = r#"
[[model]]
name = "week"
sql = """
SELECT d.sold_on, SUM(o.price) AS revenue
FROM (SELECT DISTINCT sold_on FROM orders) AS d JOIN orders AS o
  ON o.sold_on <= d.sold_on AND o.sold_on > d.sold_on - INTERVAL '3 days'
GROUP BY d.sold_on"""
partition_by = "sold_on"
incremental = { lookback = "2d" }
"#;
    let site = Site::with_orders(&format!("{CONTRACT}{model}"));
    for day in 1..=6 {
        site.write(&format!("in/{day}.csv"), csv(&[(day, &format!("2011-12-{day:02}"), "1")]));
    }
    run_at(&site, MORNING);
    let revenue = |site: &Site| site.sql("SELECT revenue FROM week ORDER BY sold_on");
    assert_eq!(revenue(&site), [[1.0], [2.0], [3.0], [3.0], [3.0], [3.0]]);
    site.write("in/2b.csv", csv(&[(20, "2011-12-02", "10")]));
    run_at(&site, MORNING);
    assert_eq!(revenue(&site), [[1.0], [12.0], [13.0], [13.0], [3.0], [3.0]]);
    assert_eq!(newest(&site, "week"), (1, 3, 3));
}

#[test]
fn a_changed_definition_rebuilds_what_it_affects() {
    let site = Site::with_orders(&format!("{CONTRACT}{BY_DAY}"));
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1"), (2, "2011-12-08", "2")]));
    run_at(&site, MORNING);
    site.orders(&format!("{CONTRACT}{}", BY_DAY.replace("COUNT(*) AS n", "COUNT(*) * 10 AS n, MAX(id) AS last")));
    let answer = run_at(&site, MORNING);
    let statuses: Vec<_> = answer.statuses().into_iter().map(|(_, status)| status).collect();
    assert_eq!(statuses, ["nothing_to_do", "nothing_to_do", "done"]);
    assert_eq!(site.sql("SELECT n, last FROM by_day ORDER BY sold_on"), [[10, 1], [10, 2]]);
}

#[test]
fn rows_without_a_day_are_one_partition() {
    let site = Site::with_orders(&format!("{CONTRACT}{BY_DAY}"));
    site.write("in/a.csv", "id,sold_at,price\n1,,1\n2,2011-12-07T10:00:00Z,2\n");
    run_at(&site, MORNING);
    site.write("in/b.csv", "id,sold_at,price\n3,,5\n");
    run_at(&site, MORNING);
    assert_eq!(newest(&site, "by_day"), (1, 1, 1));
    let rows = site.sql("SELECT sold_on, n, revenue FROM by_day ORDER BY revenue");
    assert_eq!(rows, [[json!("2011-12-07"), json!(1), json!(2.0)], [json!(null), json!(2), json!(6.0)]]);
}

#[test]
fn a_partition_that_no_input_has_is_refused() {
    let months = CONTRACT.replace("\"day\"", "\"month\"");
    let by_day = BY_DAY
        .replace("SELECT sold_on", "SELECT CAST(sold_at AS DATE) AS sold_on")
        .replace("GROUP BY sold_on", "GROUP BY CAST(sold_at AS DATE)");
    let site = Site::with_orders(&format!("{months}{by_day}"));
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1")]));
    let answer = site.ask(&["run", "--at", MORNING]).expect(2);
    let error = &answer.step("model by_day")["error"];
    assert_eq!(error["kind"], "definition");
    assert!(
        error["message"].as_str().unwrap().contains("the result has sold_on = 2011-12-07, which is not a partition"),
        "{error}"
    );
}
