//! An API with orders, and a folder with a pipeline that reads it.

use serde_json::Value;

use crate::support::api_server::{Api, Fields, Style};
use crate::support::project::{Answer, Site, tidemark};

pub const FIELDS: Fields = Fields { id: "/id", time: "/at" };
pub const AT: &str = "2026-03-02T08:00:00Z";

const CONTRACT: &str = r#"
[contract]
dataset = "orders"
key = ["id"]
latest_by = "at"
max_quarantined = "5%"

[contract.columns]
id = { type = "int64", required = true }
at = { type = "datetime", required = true }
amount = { type = "decimal(12,2)", required = true }
country = { type = "string", from = "/customer/country" }
"#;

/// Order `id`, made or changed in minute `minute` of the first of January 2026.
pub fn order(id: usize, minute: usize, amount: &str) -> String {
    let at = format!("2026-01-01T{:02}:{:02}:00Z", minute / 60, minute % 60);
    format!(r#"{{"id": {id}, "at":"{at}",  "amount": "{amount}", "customer": {{"country": "D\u00c4"}}}}"#)
}

/// Orders 1 to `n`, a minute apart.
pub fn orders(n: usize) -> Vec<String> {
    (1..=n).map(|id| order(id, id, &format!("{id}.50"))).collect()
}

fn pipeline(url: &str, source: &str, contract: &str) -> String {
    format!("[source]\nkind = \"http\"\nurl = \"{url}\"\n{source}\n{contract}")
}

/// A pipeline over the orders of an API; `source` is all of `[source]` but its kind and URL.
pub fn define(url: &str, source: &str) -> String {
    pipeline(url, source, CONTRACT)
}

pub struct Shop {
    pub api: Api,
    pub site: Site,
    /// Environment variables of the command.
    pub variables: Vec<(&'static str, &'static str)>,
}

impl Shop {
    /// `source` is all of `[source]` but its kind and URL.
    pub fn new(style: Style, records: &[String], source: &str) -> Shop {
        Shop::with_api(Api::new(style, FIELDS, records), source)
    }

    pub fn with_api(api: Api, source: &str) -> Shop {
        Shop::with(api, source, CONTRACT)
    }

    pub fn with(api: Api, source: &str, contract: &str) -> Shop {
        let shop = Shop { api, site: Site::new(), variables: Vec::new() };
        let url = format!("{}/v1/orders", shop.api.origin());
        shop.site.write("infra/pipelines/orders.toml", pipeline(&url, source, contract));
        shop
    }

    /// The contract of all orders, another source.
    pub fn redefine(&self, url: &str, source: &str) {
        self.site.write("infra/pipelines/orders.toml", define(url, source));
    }

    pub fn call(&self, arguments: &[&str]) -> Answer {
        let mut command = self.site.command(tidemark());
        command.envs(self.variables.iter().copied()).args(arguments);
        Answer::from_command(&mut command)
    }

    pub fn run(&self) -> Answer {
        self.call(&["run", "--at", AT, "--json"])
    }

    /// A run that ends well; the record of its ingest.
    #[track_caller]
    pub fn ingest(&self) -> Value {
        self.run().expect(0).step("ingest")
    }

    /// The ids of the clean orders.
    pub fn ids(&self) -> Vec<i64> {
        let rows = self.site.sql("SELECT id FROM orders ORDER BY id");
        rows.iter().map(|row| row[0].as_i64().unwrap()).collect()
    }

    /// That the orders 1 to `n` are there, each once.
    #[track_caller]
    pub fn has(&self, n: usize) {
        assert_eq!(self.ids(), (1..=n as i64).collect::<Vec<_>>());
    }
}

/// The notes of a run record, one after the other.
pub fn notes(record: &Value) -> String {
    let notes = record["notes"].as_array().cloned().unwrap_or_default();
    notes.iter().map(|note| note.as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
}
