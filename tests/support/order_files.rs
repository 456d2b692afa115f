//! The orders of a shop, in files that come and change.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemark::args::Common;
use tidemark::load;
use tidemark_flow::Selection;
use tidemark_lake::Store;
use tidemark_pipeline::Graph;

use crate::support::daily_sales::runtime;
use crate::support::daily_sales::sales::local;

/// The orders of a shop, in files that come and change. More than one lake may read them.
pub struct Shop {
    pub folder: TempDir,
}

impl Shop {
    pub fn new(contract: &str) -> Shop {
        let shop = Shop { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(shop.path("in")).unwrap();
        std::fs::create_dir_all(shop.path("pipelines")).unwrap();
        let text = format!(
            "[source]\nkind = 'files'\npath = '{}'\nformat = 'csv'\n\n[contract]\ndataset = 'orders'\n{contract}\n\n\
             [contract.columns]\nid = 'int64'\nsold_on = 'date'\nedition = 'int64'\namount = 'decimal(12,2)'\nnote = 'string'\n\n\
             [[model]]\nname = 'by_month'\npartition_by = 'sold_on_month'\nincremental = {{ lookback = '0d' }}\n\
             sql = 'SELECT sold_on_month, COUNT(*) AS orders, SUM(amount) AS total FROM orders GROUP BY sold_on_month'\n\n\
             [[model]]\nname = 'by_note'\n\
             sql = 'SELECT note, COUNT(*) AS orders FROM orders GROUP BY note'\n",
            shop.path("in").display()
        );
        std::fs::write(shop.path("pipelines/shop.toml"), text).unwrap();
        shop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn graph(&self) -> Graph {
        graph(self.folder.path())
    }

    /// A file of orders of many months. Every file has some ids of every other, in other months, and some amounts that are words.
    pub fn sell(&self, file: usize, rows: usize, edition: usize) {
        let mut text = String::from("id,sold_on,edition,amount,note\n");
        for row in 0..rows {
            let id = if row % 5 == 0 { row } else { row + 10_000 * file };
            let month = 1 + (row * 7 + file * 3 + edition) % 8;
            let amount = if row % 37 == 5 { "n/a".to_owned() } else { format!("{}.{:02}", row % 90, edition) };
            let note = ["", "gift", "in a hurry", "left at the door"][row % 4];
            text.push_str(&format!("{id},2025-{month:02}-{:02},{edition},{amount},{note}\n", 1 + row % 28));
        }
        std::fs::write(self.path(&format!("in/{file}.csv")), text).unwrap();
    }
}

/// The pipelines of a shop in a folder.
pub fn graph(shop: &Path) -> Graph {
    let (lake, pipelines) = (shop.join("lake").display().to_string(), shop.join("pipelines"));
    let common = Common { lake, pipelines, parameters: Vec::new(), json: true };
    load(&common, Selection::Named(&[])).unwrap()
}

/// Its source.
pub fn source(shop: &Path) -> Store {
    Store::new(local(&shop.join("in")), "in", runtime())
}
