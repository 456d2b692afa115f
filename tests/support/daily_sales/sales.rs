//! A small dirty input: three days in three files, over two mornings. On the second a file has come and one has changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use object_store::ObjectStore;
use object_store::ObjectStoreExt as _;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tempfile::TempDir;

/// The moments of the schedule that are meant; each reports the day before.
pub const MORNINGS: [&str; 2] = ["2026-03-03T08:00:00Z", "2026-03-04T08:00:00Z"];

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
const COUNTRIES: [&str; 3] = ["United Kingdom", "Germany", "EIRE"];

/// The source as it lies there on each of the mornings, in folders, in memory and in buckets.
pub struct Sales {
    folder: TempDir,
    /// Made when they are first asked for.
    buckets: [OnceLock<String>; 2],
    memory: [Arc<InMemory>; 2],
}

impl Sales {
    /// About `lines` lines a day.
    pub fn new(lines: usize) -> Sales {
        let first = [("2026-03-01.csv", day("2026-03-01", lines, 0)), ("2026-03-02.csv", day("2026-03-02", lines, 0))];
        let second = [("2026-03-02.csv", day("2026-03-02", lines, 1)), ("2026-03-03.csv", day("2026-03-03", lines, 0))];
        let folder = tempfile::tempdir().unwrap();
        for morning in ["1", "2"] {
            std::fs::create_dir(folder.path().join(morning)).unwrap();
        }
        for (name, text) in &first {
            std::fs::write(folder.path().join("1").join(name), text).unwrap();
        }
        // one file, so that it is the same version of the same object
        let unchanged = first[0].0;
        std::fs::hard_link(folder.path().join("1").join(unchanged), folder.path().join("2").join(unchanged)).unwrap();
        for (name, text) in &second {
            std::fs::write(folder.path().join("2").join(name), text).unwrap();
        }
        let put = |store: &InMemory, files: &[(&str, String)]| {
            for (name, text) in files {
                futures::executor::block_on(store.put(&(*name).into(), text.clone().into())).unwrap();
            }
        };
        let one = InMemory::new();
        put(&one, &first);
        let two = one.fork();
        put(&two, &second);
        Sales { folder, buckets: Default::default(), memory: [Arc::new(one), Arc::new(two)] }
    }

    /// The folder of a morning.
    pub fn folder(&self, morning: usize) -> PathBuf {
        self.folder.path().join(["1", "2"][morning])
    }

    pub fn in_folder(&self, morning: usize) -> Arc<dyn ObjectStore> {
        local(&self.folder(morning))
    }

    pub fn in_bucket(&self, morning: usize) -> Arc<dyn ObjectStore> {
        super::in_bucket(self.bucket(morning))
    }

    pub fn bucket(&self, morning: usize) -> &str {
        self.buckets[morning].get_or_init(|| super::new_bucket(Some(&self.folder(morning))))
    }

    pub fn in_memory(&self, morning: usize) -> Arc<dyn ObjectStore> {
        self.memory[morning].clone()
    }
}

pub fn local(folder: &Path) -> Arc<dyn ObjectStore> {
    Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap())
}

/// A day's file: returns, customers without a number, the same line twice, a price that is a word, a line cut off.
/// In the next `edition` a line is gone, a quantity has changed, and the word has become a price.
fn day(day: &str, lines: usize, edition: usize) -> String {
    let mut text = String::from(HEADER);
    let number: usize = day[8..].parse().unwrap();
    for line in edition..lines {
        let order = 1000 * number + line / 3;
        let returned = order.is_multiple_of(11);
        let invoice = format!("{}{}", if returned { "C" } else { "" }, 500_000 + order);
        let quantity = (1 + (line * 7 + number) % 9 + if line == 5 { edition } else { 0 }) as i64;
        let quantity = if returned { -quantity } else { quantity };
        let price = match (line, edition) {
            (7, 0) => "n/a".to_owned(),
            _ => format!("{}.{:02}", line % 13, (line * 17) % 100),
        };
        let (product, hour, minute) = (line * number % 12, 8 + (line / 3) % 12, line % 60);
        let customer = if line % 4 == 0 { String::new() } else { (12_000 + line % 50).to_string() };
        let country = COUNTRIES[order % 3];
        let row = format!(
            "{invoice},P{product:02},PRODUCT {product},{quantity},{day} {hour:02}:{minute:02}:00,{price},{customer},{country}\n"
        );
        text.push_str(&row.repeat(if line == 9 { 2 } else { 1 }));
    }
    text.push_str(&format!("599999,P00,\"CUT OFF,3,{day}\n"));
    text
}
