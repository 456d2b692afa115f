//! The real command, killed again and again while the API misbehaves: at the end the lake has what the API has, row for row.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::api_server::{Api, Befell, Bound, Fault, Filter, Paging, Rule, Style, Time, When};
use crate::support::kill::kill_when;
use crate::support::orders_api::{AT, FIELDS, Shop, order, orders};
use crate::support::project::tidemark;
use crate::support::random::Random;

/// The least number of runs that are killed and of requests that have a fault; five times as many with `TIDEMARK_CRASH=all`.
const KILLS: usize = 30;
const FAULTS: usize = 10;
const MAX_RUNS: usize = 1000;
/// A run is killed once it has made so many requests, and within so many looks after that.
const REQUESTS: usize = 12;
const LOOKS: usize = 60;

#[test]
fn killed_again_and_again_it_has_what_the_api_has() {
    let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
    let style = Style { filter: Some(filter), ..Style::for_paging(Paging::Cursor) };
    let source = "records = '/data'
        pagination = { kind = 'cursor', next = '/meta/next' }
        incremental = { column = 'at', parameter = 'since', lookback = '1d' }
        limits = { attempts = 3, timeout = '10m' }";
    let mut truth: BTreeMap<usize, String> = (1..).zip(orders(60)).collect();
    let all = |truth: &BTreeMap<usize, String>| truth.values().cloned().collect::<Vec<_>>();
    let shop = Shop::with_api(Api::new(style, FIELDS, &all(&truth)), source);
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
    let befallen = || befell.iter().map(Befell::times).sum::<usize>();
    let (mut random, mut killed, mut run) = (Random::new(11), 0, 0);
    let times = if std::env::var("TIDEMARK_CRASH").is_ok_and(|wanted| wanted == "all") { 5 } else { 1 };
    while killed < times * KILLS || befallen() < times * FAULTS {
        assert!(run < MAX_RUNS, "killed {killed} of {run} runs, {} faults", befallen());
        // a new order, and an old one that has changed
        truth.insert(61 + run, order(61 + run, 61 + run, &format!("{run}.50")));
        let old = 1 + random.below(60);
        truth.insert(old, order(old, 61 + run, &format!("{old}{run}.50")));
        shop.api.replace(&all(&truth));
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
    // whatever a killed run had kept has been taken up by then
    assert_eq!(shop.run().expect(0).step("ingest")["status"], "nothing_to_do");
    let rows = shop.site.sql("SELECT id, CAST(amount AS VARCHAR) AS amount FROM orders ORDER BY id");
    let found: BTreeMap<usize, String> =
        rows.iter().map(|row| (row[0].as_u64().unwrap() as usize, row[1].as_str().unwrap().to_owned())).collect();
    assert_eq!(rows.len(), truth.len());
    for (id, record) in &truth {
        assert!(record.contains(&format!("\"{}\"", found[id])), "{id}: {} and not {record}", found[id]);
    }
    let befell: Vec<usize> = befell.iter().map(Befell::times).collect();
    println!("killed {killed} of {run} runs; faults {befell:?}");
}
