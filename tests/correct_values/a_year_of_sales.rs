//! A year of real sales (UCI Online Retail, 541,909 rows) through the pipeline `daily-sales`: the whole file in one run, and the
//! 305 daily files one by one with a run each morning. Every figure is held against one computed here from the CSV alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};
use serde_json::{Value, json};

use crate::support::project::{Site, public_data};

const WHOLE_FILE: &str = "A/online_retail.csv.gz";
const BY_DAY: &str = "A/online_retail_by_day.tar.xz";

/// Thousandths of the currency, exact.
type Money = i64;

#[derive(Default)]
struct Group {
    orders: BTreeSet<String>,
    units: i64,
    revenue: Money,
}

/// What a report says of a day, computed row by row.
#[derive(Default)]
struct Day {
    all: Group,
    cancellations: BTreeSet<String>,
    /// With the description it is shown with.
    products: BTreeMap<String, (Option<String>, Group)>,
    countries: BTreeMap<String, Group>,
    hours: BTreeMap<i64, Group>,
}

impl Group {
    fn add(&mut self, invoice: &str, units: i64, revenue: Money) {
        if !invoice.starts_with('C') {
            self.orders.insert(invoice.to_owned());
        }
        self.units += units;
        self.revenue += revenue;
    }
}

impl Day {
    fn from_csv(csv: &[u8]) -> Day {
        let mut day = Day::default();
        for record in records(csv).into_iter().skip(1) {
            let [invoice, code, description, quantity, sold_at, price, _, country] = &record[..] else {
                panic!("{record:?}")
            };
            let units: i64 = quantity.parse().unwrap();
            let revenue = units * thousandths(price);
            day.all.add(invoice, units, revenue);
            if invoice.starts_with('C') {
                day.cancellations.insert(invoice.clone());
            }
            let (name, product) = day.products.entry(code.trim().to_owned()).or_default();
            let description = description.trim();
            if !description.is_empty() && name.as_deref().is_none_or(|name| name < description) {
                *name = Some(description.to_owned());
            }
            product.add(invoice, units, revenue);
            day.countries.entry(country.clone()).or_default().add(invoice, units, revenue);
            day.hours.entry(sold_at[11..13].parse().unwrap()).or_default().add(invoice, units, revenue);
        }
        day
    }

    fn figures(&self) -> [Option<f64>; 5] {
        let orders = self.all.orders.len() as f64;
        let average = (orders > 0.0).then(|| cents(self.all.revenue) / orders);
        [
            Some(cents(self.all.revenue)),
            Some(orders),
            Some(self.all.units as f64),
            average,
            Some(self.cancellations.len() as f64),
        ]
    }
}

/// RFC 4180.
fn records(csv: &[u8]) -> Vec<Vec<String>> {
    let text = std::str::from_utf8(csv).unwrap();
    let (mut records, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            c => field.push(c),
        }
    }
    assert!(field.is_empty() && record.is_empty() && !quoted);
    records
}

fn thousandths(price: &str) -> Money {
    let (whole, part) = price.split_once('.').unwrap_or((price, ""));
    assert!(part.len() <= 3, "{price}");
    let sign = if price.starts_with('-') { -1 } else { 1 };
    let part: Money = format!("{part:0<3}").parse().unwrap();
    whole.parse::<Money>().unwrap() * 1000 + sign * part
}

fn cents(money: Money) -> f64 {
    money as f64 / 1000.0
}

/// One sheet of a report, as its CSV says.
fn sheet(site: &Site, day: Date, name: &str) -> Vec<Vec<String>> {
    let bytes = std::fs::read(site.path(&format!("out/daily-sales-{day}-{name}.csv"))).unwrap();
    records(&bytes).split_off(1)
}

#[track_caller]
fn near(shown: &str, expected: Option<f64>, tolerance: f64, what: &str) {
    match (shown, expected) {
        ("", None) => {}
        (shown, Some(expected)) => {
            let found: f64 = shown.parse().unwrap_or_else(|_| panic!("{what}: {shown:?}, expected {expected}"));
            assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected}");
        }
        (shown, None) => panic!("{what}: {shown}, expected nothing"),
    }
}

/// Half a cent, for what is shown in cents, and the rounding of a double.
const CENT: f64 = 0.005_000_1;

/// Holds the report of a day against the figures of its CSV files.
fn compare(site: &Site, date: Date, days: &BTreeMap<Date, Day>) {
    let ago = |span: Span| days.get(&date.checked_sub(span).unwrap());
    let day = &days[&date];
    let summary = sheet(site, date, "summary");
    let names: Vec<_> = summary.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["Revenue", "Orders", "Units", "Average order", "Cancellations"], "{date}");
    let [before, week_before] = [ago(1.day()), ago(7.days())].map(|day| day.map(Day::figures));
    for (at, row) in summary.iter().enumerate() {
        let what = format!("{date} {}", row[0]);
        let now = day.figures()[at];
        near(&row[1], now, CENT, &what);
        for (shown, change, then) in [(&row[2], &row[3], before), (&row[4], &row[5], week_before)] {
            let then = then.and_then(|figures| figures[at]);
            near(shown, then, CENT, &what);
            // of the shown figures, so that who divides them finds the same
            let figure = |text: &str| text.parse::<f64>().ok();
            let expected = match (figure(&row[1]), figure(shown)) {
                (Some(now), Some(then)) if then != 0.0 => Some((now - then) / then.abs()),
                _ => None,
            };
            near(change, expected, 1e-9, &what);
        }
    }

    let mut products: Vec<_> = day.products.iter().collect();
    products.sort_by_key(|(code, (_, product))| (-product.revenue, code.as_str()));
    let total = day.all.revenue;
    let share = |revenue: Money| (total != 0).then(|| revenue as f64 / total as f64);
    let shown = sheet(site, date, "top-products");
    assert_eq!(shown.len(), products.len().min(10), "{date}");
    for (row, (code, (name, product))) in shown.iter().zip(products) {
        let what = format!("{date} product {code}");
        assert_eq!((&row[0], row[1].trim_start_matches('\'')), (code, name.as_deref().unwrap_or_default()), "{what}");
        assert_eq!(row[2], product.units.to_string(), "{what}");
        near(&row[3], Some(cents(product.revenue)), CENT, &what);
        near(&row[4], share(product.revenue), 1e-9, &what);
    }

    let mut countries: Vec<_> = day.countries.iter().collect();
    countries.sort_by_key(|(country, sold)| (-sold.revenue, country.as_str()));
    let shown = sheet(site, date, "countries");
    assert_eq!(shown.len(), countries.len(), "{date}");
    for (row, (country, sold)) in shown.iter().zip(countries) {
        let what = format!("{date} country {country}");
        let counts = [row[1].clone(), row[2].clone()];
        assert_eq!((&row[0], counts), (country, [sold.orders.len().to_string(), sold.units.to_string()]), "{what}");
        near(&row[3], Some(cents(sold.revenue)), CENT, &what);
        near(&row[4], share(sold.revenue), 1e-9, &what);
    }

    let shown = sheet(site, date, "hours");
    assert_eq!(shown.len(), day.hours.len(), "{date}");
    for (row, (hour, sold)) in shown.iter().zip(&day.hours) {
        let expected = [hour.to_string(), sold.orders.len().to_string(), sold.units.to_string()];
        assert_eq!(row[..3], expected, "{date} hour {hour}");
        near(&row[3], Some(cents(sold.revenue)), CENT, &format!("{date} hour {hour}"));
    }
    assert!(sheet(site, date, "data-quality").is_empty(), "{date}");
    assert!(site.path(&format!("out/daily-sales-{date}.xlsx")).exists());
}

/// The daily files, unpacked, by day.
fn daily_files(archive: &Path, folder: &Path) -> BTreeMap<Date, Vec<u8>> {
    let python = "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])";
    let unpacked = Command::new("python3").args(["-c", python]).args([archive, folder]).output().unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    let files =
        crate::support::project::walk(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "csv"));
    files
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), std::fs::read(&path).unwrap()))
        .collect()
}

/// 08:00 in London on the day after.
fn morning_after(day: Date) -> String {
    let morning = day.tomorrow().unwrap().at(8, 0, 0, 0).in_tz("Europe/London").unwrap();
    morning.timestamp().to_string()
}

#[test]
fn a_year_in_one_run_and_morning_by_morning() {
    let (Some(whole_file), Some(archive)) = (public_data(WHOLE_FILE), public_data(BY_DAY)) else { return };
    let whole = Site::with_daily_sales();
    let answer = whole.morning(whole_file.to_str().unwrap(), "2011-12-10T08:00:00Z").expect(0);
    let rows = answer.step("clean")["rows"].clone();
    let count = |name: &str| rows[name].as_i64().unwrap();
    assert_eq!((count("in"), count("written") + count("quarantined")), (541_909, 541_909));
    let query =
        "SELECT COUNT(*) AS n, COUNT(DISTINCT invoice) AS invoices, SUM(quantity * unit_price) AS total FROM sales";
    assert_eq!(whole.sql(query), [[json!(541_909), json!(25_900), json!(9_747_747.934)]]);
    assert_eq!(whole.sql("SELECT COUNT(*) AS n FROM sales.quarantine"), [[0]]);
    drop(answer);

    let site = Site::with_daily_sales();
    let files = daily_files(&archive, &site.path("unpacked"));
    assert_eq!(files.len(), 305);
    let days: BTreeMap<Date, Day> = files.iter().map(|(date, csv)| (*date, Day::from_csv(csv))).collect();
    assert_eq!(days.values().map(|day| day.all.revenue).sum::<Money>(), 9_747_747_934);
    // the whole-file lake has the last day's report
    compare(&whole, date(2011, 12, 9), &days);

    let mornings = mornings(&days);
    let (mut new_months, mut new_bytes) = (BTreeSet::new(), 0);
    for (date, csv) in &files {
        site.write(&format!("in/{date}.csv"), csv);
        new_months.insert(date.first_of_month());
        new_bytes += csv.len();
        if !mornings.contains(date) {
            continue;
        }
        let answer = site.morning("in", &morning_after(*date)).expect(0);
        let statuses = answer.statuses();
        assert!(statuses.iter().all(|(_, status)| status == "done"), "{date}: {statuses:?}");
        // a morning reads only what is new, and computes only its months
        assert_eq!(answer.step("ingest")["bytes"]["read"], new_bytes, "{date}");
        assert_eq!(answer.step("model sales_by_product")["outputs"][0]["partitions"], new_months.len(), "{date}");
        (new_months, new_bytes) = (BTreeSet::new(), 0);
        compare(&site, *date, &days);
    }
    // in the end, the same rows in the same files
    for dataset in ["sales", "sales_by_day", "sales_by_product", "sales_by_country", "sales_by_hour"] {
        assert!(whole.live(dataset) == site.live(dataset), "the files of {dataset} differ");
    }
    let query = "SELECT * FROM sales WHERE sold_on >= '2011-12-05' ORDER BY sold_on, invoice, stock_code, quantity, unit_price, description";
    let (one, many): (Vec<Vec<Value>>, _) = (whole.sql(query), site.sql(query));
    assert!(one.len() > 10_000 && one == many);
    // a day without sales says so
    let answer = site.morning("in", "2011-12-11T08:00:00Z").expect(0);
    assert_eq!(answer.step("load report")["status"], "done");
    assert!(sheet(&site, date(2011, 12, 10), "summary").is_empty());
}

/// The mornings with a run. All 305 take minutes in an unoptimized build, so by default it is the first week, every tenth day, days after
/// a gap of more than a weekend's, and the last; the files of the days between come with the next run. `TIDEMARK_RETAIL=all`: every one.
fn mornings(days: &BTreeMap<Date, Day>) -> BTreeSet<Date> {
    let dates: Vec<Date> = days.keys().copied().collect();
    let all = std::env::var("TIDEMARK_RETAIL").is_ok_and(|which| which == "all");
    let is_run = |nth: usize| {
        let after_gap = nth > 0 && dates[nth].checked_sub(2.days()).unwrap() > dates[nth - 1];
        all || nth < 7 || nth.is_multiple_of(10) || after_gap || nth + 1 == dates.len()
    };
    (0..dates.len()).filter(|nth| is_run(*nth)).map(|nth| dates[nth]).collect()
}

fn date(year: i16, month: i8, day: i8) -> Date {
    jiff::civil::date(year, month, day)
}
