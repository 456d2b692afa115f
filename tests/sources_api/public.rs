//! The source `http` with public data sets.

use std::io::Read as _;

use super::pages::kinds;
use crate::support::api_server::{Api, Bound, Fields, Filter, Paging, Style, Time};
use crate::support::orders_api::Shop;
use crate::support::project::public_data;

struct Corpus {
    file: &'static str,
    fields: Fields,
    contract: &'static str,
    /// Covers a few hundred records.
    lookback: &'static str,
}

const CORPORA: [Corpus; 2] = [
    Corpus {
        file: "B/wikiticker-2015-09-12-sampled.ndjson.gz",
        fields: Fields { id: "/id", time: "/time" },
        contract: r#"
[contract]
dataset = "orders"
key = ["id"]
[contract.columns]
id = "int64"
at = { type = "datetime", from = "/time", required = true }
page = "string"
city = { type = "string", from = "/cityName" }
comment = { type = "string", trim = false, nulls = [] }
delta = "int64"
is_robot = { type = "bool", from = "/isRobot" }
"#,
        lookback: "10m",
    },
    Corpus {
        file: "B/windows_events_purplesharp_2020-10-22.ndjson.gz",
        fields: Fields { id: "/id", time: "/@timestamp" },
        contract: r#"
[contract]
dataset = "orders"
key = ["id"]
[contract.columns]
id = "int64"
at = { type = "datetime", from = "/@timestamp", required = true }
event = { type = "int64", from = "/EventID" }
host = { type = "string", from = "/Hostname" }
message = { type = "string", from = "/Message", trim = false }
keywords = { type = "int64", from = "/Keywords" }
"#,
        lookback: "1s",
    },
];

impl Corpus {
    /// The records, each with a field `id` added in front.
    fn records(&self) -> Option<Vec<String>> {
        let mut text = String::new();
        let file = std::fs::File::open(public_data(self.file)?).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty()).enumerate();
        Some(lines.map(|(n, line)| line.replacen('{', &format!("{{\"id\":{},", n + 1), 1)).collect())
    }

    fn shop(&self, style: Style, records: &[String], source: &str) -> Shop {
        Shop::with(Api::new(style, self.fields, records), source, self.contract)
    }
}

#[test]
fn every_kind_of_pagination_gives_the_same_files() {
    for (nth, corpus) in CORPORA.into_iter().enumerate() {
        let Some(records) = corpus.records() else { return };
        let (mut whole, mut shop) = (None, corpus.shop(Style::for_paging(Paging::Single), &records, ""));
        // The kinds of pagination are distributed over the corpora; each corpus also has one request for everything.
        let dealt = kinds().into_iter().enumerate().filter(|(at, _)| *at == 0 || at % CORPORA.len() == nth);
        for (style, source) in dealt.map(|(_, kind)| kind) {
            // Where the definition requests a page size, larger pages keep the test short.
            let source = source.replace("size = 7", "size = 1500").replace("size = 8", "size = 1500");
            shop.api.restyle(Style { size: 1500, ..style });
            shop = Shop::with(shop.api, &source, corpus.contract);
            let record = shop.ingest();
            assert_eq!(record["rows"]["in"], records.len(), "{source}");
            let clean = shop.site.live("orders");
            assert_eq!(whole.get_or_insert_with(|| clean.clone()), &clean, "{source}");
        }
    }
}

#[test]
fn ten_incremental_runs_give_the_rows_of_one() {
    for corpus in CORPORA {
        let Some(records) = corpus.records() else { return };
        let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
        let style = Style { size: 1000, filter: Some(filter), ..Style::for_paging(Paging::Cursor) };
        let source = format!(
            "{}\nincremental = {{ column = 'at', parameter = 'since', lookback = '{}' }}",
            super::pages::CURSOR,
            corpus.lookback,
        );
        let whole = corpus.shop(style.clone(), &records, &source);
        whole.ingest();
        let parts = corpus.shop(style, &[], &source);
        let mut received = 0;
        for part in records.chunks(records.len().div_ceil(10)) {
            parts.api.append(part);
            received += parts.ingest()["rows"]["in"].as_u64().unwrap();
        }
        let query = "SELECT * FROM orders ORDER BY id";
        assert_eq!(parts.site.sql(query).len(), records.len());
        assert!(parts.site.sql(query) == whole.site.sql(query));
        // Records received again are those of the lookback.
        assert!(received < records.len() as u64 * 3 / 2, "{received}");
    }
}
