//! `tidemark demo`: the sales pipeline over two days of made-up, dirty sales, with nothing but this binary and a folder.

use std::path::Path;

use anyhow::Context as _;
use tidemark_flow::{Failure, Kind, Trigger, Wanted, machine};

use crate::cli::Common;
use crate::definitions::load;
use crate::exit::Exit;
use crate::print;
use crate::progress::Bar;
use crate::run::{exit_of, walk_all};
use crate::world::World;

macro_rules! pipeline_files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../infra/pipelines/", $name)))),+]
    };
}

/// The pipeline as it is in the repository, so that the demo shows the real one.
const PIPELINE: [(&str, &str); 10] = pipeline_files![
    "daily-sales.toml",
    "daily-sales/sales_by_day.sql",
    "daily-sales/sales_by_product.sql",
    "daily-sales/sales_by_country.sql",
    "daily-sales/sales_by_hour.sql",
    "daily-sales/report_summary.sql",
    "daily-sales/report_products.sql",
    "daily-sales/report_countries.sql",
    "daily-sales/report_hours.sql",
    "daily-sales/report_quality.sql",
];

/// The mornings of the demo, each with the day before it that its file is about.
const MORNINGS: [(&str, &str); 2] = [("2026-03-03T08:00:00Z", "2026-03-02"), ("2026-03-04T08:00:00Z", "2026-03-03")];

pub(crate) fn demo(common: &Common, folder: &Path) -> anyhow::Result<Exit> {
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        let message = format!("{} is not empty", folder.display());
        return Err(Failure::new(Kind::Definition, message).hint("name another folder: tidemark demo FOLDER").into());
    }
    let write = |name: &str, text: &str| -> anyhow::Result<()> {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("writing {}", path.display()))
    };
    for (name, text) in PIPELINE {
        write(&format!("pipelines/{name}"), text)?;
    }
    let at = |name: &str| folder.join(name).display().to_string();
    let common = Common {
        lake: at("lake"),
        pipelines: folder.join("pipelines"),
        parameters: vec![("SALES".into(), at("sales")), ("REPORTS".into(), at("reports"))],
        json: common.json,
    };
    let graph = load(&common, Wanted::Named(&[]))?;
    let world = World::new()?;
    let lake = world.lake(&common.lake)?;
    let mut all = Vec::new();
    for (morning, day) in MORNINGS {
        write(&format!("sales/{day}.csv"), &sales_of(day))?;
        let scheduled_time = morning.parse().context("the demo's morning")?;
        if !common.json {
            print::line(&format!("{morning}: the sales of {day} have come in"));
        }
        let began = machine::now();
        let bar = Bar::new();
        let progress: &dyn tidemark_flow::Progress = if common.json { &tidemark_flow::Quiet } else { &bar };
        let trigger = Trigger::at(scheduled_time, machine::run_id());
        let records = world.with_ports(&lake, progress, |ports| walk_all(ports, &graph, &[], &trigger))?;
        if !common.json {
            print::summary(&records, machine::now().duration_since(began));
            print::line("");
        }
        all.extend(records);
    }
    if common.json {
        print::json(&serde_json::json!({"runs": all}))?;
        return Ok(exit_of(&all));
    }
    let lake = at("lake");
    print::line("Try next:");
    for verb in ["status", "quarantine list", "sql \"SELECT * FROM sales_by_day\"", "show sales --history", "runs"] {
        print::line(&format!("  tidemark {verb} --lake {lake}"));
    }
    print::line(&format!(
        "  tidemark run --pipelines {} --lake {lake} --set SALES=your-sales.csv --set REPORTS={}",
        at("pipelines"),
        at("reports"),
    ));
    Ok(exit_of(&all))
}

const PRODUCTS: [(&str, &str, &str); 8] = [
    ("22423", "REGENCY CAKESTAND 3 TIER", "12.75"),
    ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", "2.95"),
    ("47566", "PARTY BUNTING", "4.95"),
    ("84879", "ASSORTED COLOUR BIRD ORNAMENT", "1.69"),
    ("23084", "RABBIT NIGHT LIGHT", "2.08"),
    ("22720", "SET OF 3 CAKE TINS PANTRY DESIGN", "4.95"),
    ("POST", "POSTAGE", "18.00"),
    ("21212", "PACK OF 72 RETROSPOT CAKE CASES", "0.55"),
];
const COUNTRIES: [&str; 6] = ["United Kingdom", "United Kingdom", "United Kingdom", "Germany", "France", "EIRE"];

/// A day of sales with the dirt that real files have: returns, empty customers, prices that are words, a torn line.
fn sales_of(day: &str) -> String {
    let mut text = String::from("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n");
    // the same numbers at every demo, other ones on another day
    let mut state = day.bytes().fold(17u64, |state, byte| state.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for order in 0..60 {
        let (hour, minute) = (8 + order / 6, next(60));
        let returned = next(12) == 0;
        let invoice = format!("{}{}", if returned { "C" } else { "" }, 600_000 + next(1000) + order * 1000);
        let customer = if next(4) == 0 { String::new() } else { format!("{}.0", 12_000 + next(3000)) };
        let country = COUNTRIES[next(COUNTRIES.len())];
        for _ in 0..=next(5) {
            let (code, name, price) = PRODUCTS[next(PRODUCTS.len())];
            let quantity = (1 + next(12)) as i64 * if returned { -1 } else { 1 };
            let price = if next(40) == 0 { "n/a" } else { price };
            text.push_str(&format!(
                "{invoice},{code},{name},{quantity},{day} {hour:02}:{minute:02}:00,{price},{customer},{country}\n"
            ));
        }
    }
    text.push_str("699999,22423,\"A LINE THAT WAS TORN,3,");
    text.push_str(day);
    text.push('\n');
    text
}
