//! Invalid source files: each is reported with its kind and a hint, and leaves the lake unharmed, so a valid file is read afterwards.

use crate::support::project::{Answer, HEADER, MORNING, Site, sales, tidemark};

/// Runs with the invalid file that `spoil` writes and passes the answer to `check`; then a valid file must be read.
fn recovers(spoil: impl Fn(&Site), check: impl Fn(&Answer)) {
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
fn a_missing_file_is_reported() {
    recovers(
        |_| {},
        |answer| {
            answer.fails(2, "definition", &["sales.csv", "cannot be opened", "path"]);
            assert_eq!(answer.statuses().len(), 1, "the steps after the failed one wait");
        },
    );
}

#[test]
fn an_empty_file_and_one_with_only_a_header_have_no_rows() {
    for content in ["", HEADER] {
        recovers(
            |site| site.write("sales.csv", content),
            |answer| {
                assert_eq!((answer.code, &answer.step("ingest")["notes"][0]), (0, &"sales.csv has no rows".into()));
                assert_eq!(answer.step("load report")["status"], "done");
            },
        );
    }
}

#[test]
fn a_folder_at_the_path_of_a_file_and_the_reverse() {
    // A folder is a valid source; if it is empty, a note says so.
    recovers(
        |site| std::fs::create_dir(site.path("sales.csv")).unwrap(),
        |answer| assert_eq!((answer.code, &answer.step("ingest")["notes"][0]), (0, &"no file at sales.csv".into())),
    );
    let site = Site::with_daily_sales();
    site.write("sales.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    // A folder at the path of the database file.
    std::fs::create_dir_all(site.path("out/sales.db")).unwrap();
    let answer = site.morning("sales.csv", MORNING);
    assert!(answer.code > 0 && answer.error()["message"].as_str().unwrap().contains("out/sales.db"), "{answer:?}");
    std::fs::remove_dir(site.path("out/sales.db")).unwrap();
    site.morning("sales.csv", MORNING).expect(0);
    // A file at the path of the reports folder.
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

/// Runs the command without root's capability to read every file.
fn ask_without_root(site: &Site, arguments: &[&str]) -> Option<Answer> {
    let mut command = site.command("setpriv");
    command.arg("--bounding-set=-dac_override,-dac_read_search").arg(tidemark()).args(arguments).arg("--json");
    let answer = Answer::from_command(&mut command);
    // `setpriv` fails if the user is not root and has no such capability anyway.
    if answer.err.contains("setpriv:") { Some(site.ask(arguments)) } else { Some(answer) }
}

#[test]
fn missing_permissions_are_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    if std::process::Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: no setpriv (util-linux) to give up the rights of root");
        return;
    }
    let run = ["run", "--set", "SALES=in", "--set", "REPORTS=out", "--at", MORNING];
    let set_mode = |site: &Site, name: &str, mode: u32| {
        std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let site = Site::with_daily_sales();
    site.write("in/a.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    for (name, denied, granted) in [("in/a.csv", 0o000, 0o644), ("in", 0o000, 0o755)] {
        set_mode(&site, name, denied);
        let Some(answer) = ask_without_root(&site, &run) else { return };
        set_mode(&site, name, granted);
        answer.fails(1, "refused", &["cannot be", "allow the user who runs tidemark to read it"]);
    }
    // A lake without write permission.
    std::fs::create_dir(site.path("lake2")).unwrap();
    set_mode(&site, "lake2", 0o555);
    let Some(answer) = ask_without_root(&site, &[&run[..], &["--lake", "lake2"]].concat()) else { return };
    set_mode(&site, "lake2", 0o755);
    answer.fails(1, "refused", &["lake2", "is writable"]);
    assert_eq!(site.files("lake2").len(), 0);
    // A lake without read permission.
    site.ask(&run).expect(0);
    set_mode(&site, "lake/tidemark.json", 0o000);
    let Some(answer) = ask_without_root(&site, &run) else { return };
    set_mode(&site, "lake/tidemark.json", 0o644);
    answer.fails(1, "refused", &["lake/tidemark.json"]);
    assert!(site.ask(&run).expect(0).statuses().iter().all(|(_, status)| status == "nothing_to_do"));
}

#[test]
fn a_missing_column_is_reported_with_a_similar_name() {
    recovers(
        |site| {
            let text = sales("2011-12-08", &[("1", "A", 2, "1.5")]).replace("UnitPrice", "Unit Price");
            site.write("sales.csv", text);
        },
        |answer| answer.fails(2, "definition", &["unit_price", "`UnitPrice`", "did you mean `Unit Price`?"]),
    );
}

#[test]
fn duplicate_column_names_are_reported() {
    recovers(
        |site| site.write("sales.csv", HEADER.replace("Country", "Quantity") + "1,A,x,1,2011-12-08 10:00:00,1,,2\n"),
        |answer| answer.fails(3, "data", &["sales.csv", "columns 4 and 8", "\"Quantity\"", "rename it"]),
    );
}

#[test]
fn reserved_column_names_are_reported() {
    recovers(
        |site| site.write("sales.csv", HEADER.replace("Country", "_Version") + "1,A,x,1,2011-12-08 10:00:00,1,,2\n"),
        |answer| answer.fails(3, "data", &["sales.csv", "_Version", "reserved"]),
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
fn damaged_gzip_is_reported() {
    let mut text = HEADER.to_owned();
    for invoice in 0..5000 {
        text += &format!("{invoice},A,x,{},2011-12-08 10:00:00,1,,France\n", invoice * 7919 % 1000);
    }
    let whole = gzip(text.as_bytes());
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0xff;
    for (content, words) in [(&whole[..whole.len() / 2], ["gzip", "sales.csv"]), (&flipped, ["gzip", "sales.csv"])] {
        recovers(|site| site.write("sales.csv", content), |answer| answer.fails(3, "data", &words));
    }
}

#[test]
fn noise_is_reported() {
    // Noise alone, and a header followed by noise: each line is an invalid record.
    let mut state = 7u64;
    let noise: Vec<u8> = (0..50_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as u8
        })
        .collect();
    recovers(
        |site| site.write("sales.csv", &noise),
        |answer| {
            assert!([2, 3].contains(&answer.code), "{answer:?}");
            assert!(["data", "definition"].contains(&answer.error()["kind"].as_str().unwrap()), "{answer:?}");
        },
    );
    recovers(
        |site| site.write("sales.csv", [HEADER.as_bytes(), &noise].concat()),
        |answer| {
            answer.fails(3, "data", &["break the contract of sales", "max_quarantined = 5%", "quarantine list sales"])
        },
    );
    recovers(
        |site| site.write("sales.csv", b"PAR1\x00\x00\x00\x00PAR1"),
        |answer| assert!([2, 3].contains(&answer.code) && !answer.err.contains("panicked"), "{answer:?}"),
    );
}
