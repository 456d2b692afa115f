//! Source files that are not what they should be. Each is told with its kind and what to do, and a good file afterwards finds
//! a lake that took no harm.

use crate::site::{Answer, HEADER, MORNING, Site, sales, tidemark};

/// A site whose first run went wrong; `check` looks at the answer, then the good file must go through.
fn heals(spoil: impl Fn(&Site), check: impl Fn(&Answer)) {
    let site = Site::with_daily_sales();
    spoil(&site);
    let answer = site.morning("sales.csv", MORNING);
    check(&answer);
    let _ = std::fs::remove_file(site.path("sales.csv"));
    let _ = std::fs::remove_dir_all(site.path("sales.csv"));
    site.write("sales.csv", sales("2011-12-08", &[("1", "A", 2, "1.5"), ("C2", "B", -1, "2")]));
    let good = site.morning("sales.csv", MORNING).expect(0);
    assert_eq!(good.step("ingest")["status"], "done");
    assert_eq!(site.sql("SELECT SUM(quantity) AS n FROM sales"), [[1]]);
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM sales.quarantine"), [[0]]);
    let summary = String::from_utf8(site.files("out")["daily-sales-2011-12-08-summary.csv"].clone()).unwrap();
    assert!(summary.contains("Revenue,1.0,"), "{summary}");
}

#[test]
fn no_file() {
    heals(
        |_| {},
        |answer| {
            answer.fails(2, "definition", &["sales.csv", "cannot be opened", "path"]);
            assert_eq!(answer.statuses().len(), 1, "the steps after the failed one wait");
        },
    );
}

#[test]
fn an_empty_file_and_one_with_only_a_header_are_days_without_sales() {
    for content in ["", HEADER] {
        heals(
            |site| site.write("sales.csv", content),
            |answer| {
                assert_eq!((answer.code, &answer.step("ingest")["notes"][0]), (0, &"sales.csv has no rows".into()));
                assert_eq!(answer.step("load report")["status"], "done");
            },
        );
    }
}

#[test]
fn a_folder_for_a_file() {
    // a folder is a source too: one without files is told
    heals(
        |site| std::fs::create_dir(site.path("sales.csv")).unwrap(),
        |answer| assert_eq!((answer.code, &answer.step("ingest")["notes"][0]), (0, &"no file at sales.csv".into())),
    );
    let site = Site::with_daily_sales();
    site.write("sales.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    // where a file is wanted for the database there is a folder
    std::fs::create_dir_all(site.path("out/sales.db")).unwrap();
    let answer = site.morning("sales.csv", MORNING);
    assert!(answer.code > 0 && answer.error()["message"].as_str().unwrap().contains("out/sales.db"), "{answer:?}");
    std::fs::remove_dir(site.path("out/sales.db")).unwrap();
    site.morning("sales.csv", MORNING).expect(0);
    // and where a folder is wanted for the reports there is a file
    let answer = site.ask(&[
        "run",
        "--set",
        "SALES=sales.csv",
        "--set",
        "REPORTS=sales.csv",
        "--at",
        MORNING,
        "--lake",
        "other",
    ]);
    assert!(answer.code > 0 && answer.error()["message"].as_str().unwrap().contains("sales.csv"), "{answer:?}");
    assert_eq!(std::fs::read_to_string(site.path("sales.csv")).unwrap(), sales("2011-12-08", &[("1", "A", 2, "1.5")]));
}

/// The command without the power of root to read everything.
fn as_a_mere_user(site: &Site, arguments: &[&str]) -> Option<Answer> {
    let mut command = site.command("setpriv");
    command.arg("--bounding-set=-dac_override,-dac_read_search").arg(tidemark()).args(arguments).arg("--json");
    let answer = Answer::from_command(&mut command);
    // who is not root may not drop the power, and does not have it
    if answer.err.contains("setpriv:") { Some(site.ask(arguments)) } else { Some(answer) }
}

#[test]
fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    if std::process::Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: no setpriv (util-linux) to give up the rights of root");
        return;
    }
    let run = ["run", "--set", "SALES=in", "--set", "REPORTS=out", "--at", MORNING];
    let may = |site: &Site, name: &str, mode: u32| {
        std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let site = Site::with_daily_sales();
    site.write("in/a.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    for (name, denied, granted) in [("in/a.csv", 0o000, 0o644), ("in", 0o000, 0o755)] {
        may(&site, name, denied);
        let Some(answer) = as_a_mere_user(&site, &run) else { return };
        may(&site, name, granted);
        answer.fails(1, "refused", &["cannot be", "allow the user who runs tidemark to read it"]);
    }
    // a lake that may not be written
    std::fs::create_dir(site.path("lake2")).unwrap();
    may(&site, "lake2", 0o555);
    let Some(answer) = as_a_mere_user(&site, &[&run[..], &["--lake", "lake2"]].concat()) else { return };
    may(&site, "lake2", 0o755);
    answer.fails(1, "refused", &["lake2", "is writable"]);
    assert_eq!(site.files("lake2").len(), 0);
    // nor read
    site.ask(&run).expect(0);
    may(&site, "lake/tidemark.json", 0o000);
    let Some(answer) = as_a_mere_user(&site, &run) else { return };
    may(&site, "lake/tidemark.json", 0o644);
    answer.fails(1, "refused", &["lake/tidemark.json"]);
    assert!(site.ask(&run).expect(0).statuses().iter().all(|(_, status)| status == "nothing_to_do"));
}

#[test]
fn a_column_the_file_does_not_have() {
    heals(
        |site| {
            let text = sales("2011-12-08", &[("1", "A", 2, "1.5")]).replace("UnitPrice", "Unit Price");
            site.write("sales.csv", text);
        },
        |answer| answer.fails(2, "definition", &["unit_price", "`UnitPrice`", "did you mean `Unit Price`?"]),
    );
}

#[test]
fn two_columns_of_one_name() {
    heals(
        |site| site.write("sales.csv", HEADER.replace("Country", "Quantity") + "1,A,x,1,2011-12-08 10:00:00,1,,2\n"),
        |answer| answer.fails(3, "data", &["sales.csv", "columns 4 and 8", "\"Quantity\"", "rename it"]),
    );
}

#[test]
fn a_column_that_is_tidemarks_own() {
    heals(
        |site| site.write("sales.csv", HEADER.replace("Country", "_Version") + "1,A,x,1,2011-12-08 10:00:00,1,,2\n"),
        |answer| answer.fails(3, "data", &["sales.csv", "_Version", "taken"]),
    );
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let python = "import gzip,sys; sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read()))";
    let mut child = std::process::Command::new("python3")
        .args(["-c", python])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn a_broken_gzip() {
    let mut text = HEADER.to_owned();
    for invoice in 0..5000 {
        text += &format!("{invoice},A,x,{},2011-12-08 10:00:00,1,,France\n", invoice * 7919 % 1000);
    }
    let whole = gzip(text.as_bytes());
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0xff;
    for (content, words) in [(&whole[..whole.len() / 2], ["gzip", "sales.csv"]), (&flipped, ["gzip", "sales.csv"])] {
        heals(|site| site.write("sales.csv", content), |answer| answer.fails(3, "data", &words));
    }
}

#[test]
fn bytes_that_are_no_csv() {
    // a header and rows of noise: every line is a record that is none
    let mut state = 7u64;
    let noise: Vec<u8> = (0..50_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as u8
        })
        .collect();
    heals(
        |site| site.write("sales.csv", &noise),
        |answer| {
            assert!([2, 3].contains(&answer.code), "{answer:?}");
            assert!(["data", "definition"].contains(&answer.error()["kind"].as_str().unwrap()), "{answer:?}");
        },
    );
    heals(
        |site| site.write("sales.csv", [HEADER.as_bytes(), &noise].concat()),
        |answer| {
            answer.fails(3, "data", &["break the contract of sales", "max_quarantined = 5%", "quarantine list sales"])
        },
    );
    heals(
        |site| site.write("sales.csv", b"PAR1\x00\x00\x00\x00PAR1"),
        |answer| assert!([2, 3].contains(&answer.code) && !answer.err.contains("panicked"), "{answer:?}"),
    );
}
