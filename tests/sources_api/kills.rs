//! Runs of the real command are killed at random while the API fails at random; at the end the lake has the records of the API.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::api_server::{Api, Befell, Bound, Fault, Filter, Paging, Rule, Style, Time, When};
use crate::support::kill::kill_when;
use crate::support::orders_api::{AT, FIELDS, Shop, order, orders};
use crate::support::project::tidemark;
use crate::support::random::Random;
use crate::support::sample::is_whole;

/// Minimum number of killed runs and of failed requests; five times as many with `TIDEMARK_CRASH=all`.
const KILLS: usize = 30;
const FAULTS: usize = 10;
const MAX_RUNS: usize = 1000;
/// A run is killed after a random number of requests below `REQUESTS`, and then of polls below `LOOKS`.
const REQUESTS: usize = 12;
const LOOKS: usize = 60;

#[test]
fn after_many_killed_runs_the_lake_has_the_records_of_the_api() {
    let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
    let style = Style { filter: Some(filter), ..Style::for_paging(Paging::Cursor) };
    let source = "records = '/data'
        pagination = { kind = 'cursor', next = '/meta/next' }
        incremental = { column = 'at', parameter = 'since', lookback = '1d' }
        limits = { attempts = 3, timeout = '10m' }";
    let mut expected: BTreeMap<usize, String> = (1..).zip(orders(60)).collect();
    let all = |expected: &BTreeMap<usize, String>| expected.values().cloned().collect::<Vec<_>>();
    let shop = Shop::with_api(Api::new(style, FIELDS, &all(&expected)), source);
    let faults = [
        Fault::Drop,
        Fault::Cut,
        Fault::Halve,
        Fault::StallBody(Duration::from_millis(50)),
        Fault::PreviousPage,
        Fault::Reorder,
        Fault::Otherwise(|records| records.iter_mut().for_each(|record| *record = record.replacen(".50", ".99", 1))),
        Fault::Answer(429, vec![("retry-after", "0".into())], ""),
        Fault::Answer(503, vec![], ""),
    ];
    let befell: Vec<_> =
        (1..).zip(faults).map(|(seed, fault)| shop.api.fail(Rule::new(When::Random(seed, 12), fault))).collect();
    let fault_count = || befell.iter().map(Befell::times).sum::<usize>();
    let (mut random, mut killed, mut run) = (Random::new(11), 0, 0);
    let times = if is_whole() { 5 } else { 1 };
    while killed < times * KILLS || fault_count() < times * FAULTS {
        assert!(run < MAX_RUNS, "killed {killed} of {run} runs, {} faults", fault_count());
        // A new order, and an existing one that has changed.
        expected.insert(61 + run, order(61 + run, 61 + run, &format!("{run}.50")));
        let old = 1 + random.below(60);
        expected.insert(old, order(old, 61 + run, &format!("{old}{run}.50")));
        shop.api.replace(&all(&expected));
        let _ = shop.api.asked();
        let (mut requests, mut looks) = (random.below(REQUESTS), random.below(LOOKS));
        let mut command = shop.site.command(tidemark());
        command.args(["run", "--at", AT]);
        killed += usize::from(kill_when(&mut command, libc::SIGKILL, || {
            requests = requests.saturating_sub(shop.api.asked().len());
            looks = looks.saturating_sub(usize::from(requests == 0));
            requests == 0 && looks == 0
        }));
        run += 1;
    }
    shop.api.recover();
    shop.run().expect(0);
    // The run above has used everything that killed runs had landed.
    assert_eq!(shop.run().expect(0).step("ingest")["status"], "nothing_to_do");
    let rows = shop.site.sql("SELECT id, CAST(amount AS VARCHAR) AS amount FROM orders ORDER BY id");
    let found: BTreeMap<usize, String> =
        rows.iter().map(|row| (row[0].as_u64().unwrap() as usize, row[1].as_str().unwrap().to_owned())).collect();
    assert_eq!(rows.len(), expected.len());
    for (id, record) in &expected {
        assert!(record.contains(&format!("\"{}\"", found[id])), "{id}: {} and not {record}", found[id]);
    }
    let befell: Vec<usize> = befell.iter().map(Befell::times).collect();
    println!("killed {killed} of {run} runs; faults {befell:?}");
}
