//! The real command, killed again and again while the API misbehaves: at the end the lake has what the API has, row for row.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use super::shop::{AT, FIELDS, Shop, order, orders};
use crate::api::{Api, Bound, Fault, Filter, Paging, Rule, Style, Time, When};
use crate::site::tidemark;

const RUNS: usize = 200;

/// The same numbers at every run of the test.
struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn killed_two_hundred_times_it_has_what_the_api_has() {
    let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
    let style = Style { filter: Some(filter), ..Style::of(Paging::Cursor) };
    let source = "records = '/data'
        pagination = { kind = 'cursor', next = '/meta/next' }
        incremental = { column = 'at', parameter = 'since', lookback = '1d' }
        limits = { attempts = 3, timeout = '2s' }";
    let mut truth: BTreeMap<usize, String> = (1..).zip(orders(60)).collect();
    let all = |truth: &BTreeMap<usize, String>| truth.values().cloned().collect::<Vec<_>>();
    let shop = Shop::of(Api::new(style, FIELDS, &all(&truth)), source);
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
    let (mut random, mut killed, mut window) = (Random(11), 0, Duration::from_millis(500));
    for run in 0..RUNS {
        // a new order, and an old one that has changed
        truth.insert(61 + run, order(61 + run, 61 + run, &format!("{run}.50")));
        let old = 1 + (random.share() * 60.0) as usize;
        truth.insert(old, order(old, 61 + run, &format!("{old}{run}.50")));
        shop.api.replace(&all(&truth));
        let mut command = shop.site.command(tidemark());
        command.args(["run", "--at", AT]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        std::thread::sleep(window.mul_f64(random.share()));
        let was_there = process.try_wait().unwrap().is_none();
        process.kill().unwrap();
        process.wait().unwrap();
        killed += usize::from(was_there);
        window = window.mul_f64(if was_there { 1.05 } else { 0.8 });
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
    let befell: Vec<usize> = befell.iter().map(|befell| befell.times()).collect();
    println!("killed {killed} of {RUNS} runs; faults {befell:?}");
    assert!(killed >= RUNS / 4, "most runs were over before they were killed: {killed}");
    assert!(befell.iter().sum::<usize>() >= RUNS / 4, "{befell:?}");
}
