//! Names of pipelines and datasets in AWS, which has other rules for names.

use tidemark_pipeline::{DatasetName, PipelineName};

/// The logical id of a pipeline's schedule: `daily-sales` is `DailySalesSchedule`.
pub(super) fn schedule_id(pipeline: &PipelineName) -> String {
    let name = pipeline.as_str();
    format!("{}Schedule", if is_ordinary(name, '-') { capitals(name, '-') } else { verbatim(name, '-') })
}

/// The logical id of a dataset's table: `sales.raw` is `SalesRawTable`.
pub(super) fn table_id(dataset: &DatasetName) -> String {
    let base = dataset.base();
    // these would collide with the tables of another dataset
    let is_taken = base.ends_with("_raw") || base.ends_with("_quarantine");
    let id = if is_ordinary(base, '_') && !is_taken { capitals(base, '_') } else { verbatim(base, '_') };
    let of = match (dataset.is_raw(), dataset.is_quarantine()) {
        (true, _) => "Raw",
        (_, true) => "Quarantine",
        _ => "",
    };
    format!("{id}{of}Table")
}

/// The name of a dataset's table in Glue, which does not allow dots.
pub(super) fn table_name(dataset: &DatasetName) -> String {
    dataset.as_str().replace('.', "_")
}

/// Whether each joiner is followed by a letter, so that a capital marks its position.
fn is_ordinary(name: &str, joiner: char) -> bool {
    name.split(joiner).all(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// `daily-sales` is `DailySales`.
fn capitals(name: &str, joiner: char) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split(joiner).map(word).collect()
}

/// The id of any other name: it keeps its lowercase first letter, and has `Z` for each joiner.
fn verbatim(name: &str, joiner: char) -> String {
    name.replace(joiner, "Z")
}

/// `MailDatax40examplex2ecom`: bytes that are neither letter nor digit, and `x` itself, become `x` and their hexadecimal code.
pub(super) fn mail_id(address: &str) -> String {
    let mut id = "Mail".to_owned();
    for byte in address.bytes() {
        match byte {
            b'x' => id.push_str("x78"),
            letter if letter.is_ascii_alphanumeric() => id.push(char::from(letter)),
            other => id.push_str(&format!("x{other:02x}")),
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(pipeline: &str) -> String {
        schedule_id(&pipeline.parse().unwrap())
    }

    #[test]
    fn ordinary_names_stay_readable() {
        assert_eq!(id("daily-sales"), "DailySalesSchedule");
        assert_eq!(id("orders"), "OrdersSchedule");
        assert_eq!(id("orders2"), "Orders2Schedule");
        assert_eq!((id("q-1"), id("q1"), id("a-")), ("qZ1Schedule".into(), "Q1Schedule".into(), "aZSchedule".into()));
        let table = |dataset: &str| table_id(&dataset.parse().unwrap());
        assert_eq!(table("sales.raw"), "SalesRawTable");
        assert_eq!(table("sales.quarantine"), "SalesQuarantineTable");
        assert_eq!(table("sales_by_day"), "SalesByDayTable");
        assert_eq!((table("sales_raw"), table("sales_raw.raw")), ("salesZrawTable".into(), "salesZrawRawTable".into()));
    }

    /// Tries all names of up to six characters from a small alphabet that covers every case.
    #[test]
    fn ids_are_unique() {
        let mut names = vec![String::new()];
        let mut all = Vec::new();
        for _ in 0..6 {
            names = names.iter().flat_map(|name| ['a', 'z', '1', '_'].map(|c| format!("{name}{c}"))).collect();
            all.extend(names.iter().filter(|name| name.starts_with(['a', 'z'])).cloned());
        }
        let ends = ["raw", "_raw", "quarantine", "_quarantine", "raw_raw"];
        all.extend(["s", "s_", "s__", "s_1", "s1"].iter().flat_map(|name| ends.map(|end| format!("{name}{end}"))));
        all.sort();
        all.dedup();
        let mut tables: BTreeMap<String, String> = BTreeMap::new();
        let mut schedules: BTreeMap<String, String> = BTreeMap::new();
        for name in &all {
            for dataset in [name.clone(), format!("{name}.raw"), format!("{name}.quarantine")] {
                let id = table_id(&dataset.parse().unwrap());
                assert!(id.bytes().all(|b| b.is_ascii_alphanumeric()), "{dataset} gives {id}");
                let other = tables.insert(id.clone(), dataset.clone());
                assert!(other.is_none(), "{other:?} and {dataset} are {id}");
            }
            let name = name.replace('_', "-");
            let id = id(&name);
            let other = schedules.insert(id.clone(), name.clone());
            assert!(other.is_none(), "{other:?} and {name} are {id}");
        }
        assert!(tables.len() > 8_000);
    }
}
