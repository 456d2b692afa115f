//! Full and read-only disks. A small file system is mounted in a mount namespace; where the machine does not allow that, the tests are
//! skipped with a message.

use crate::support::project::{Answer, HEADER, MORNING, Site, sales, tidemark};

/// Runs a script in which `mount` may be used; `$TIDEMARK` is the command.
fn with_mounts(site: &Site, script: &str) -> Option<Answer> {
    let allowed =
        std::process::Command::new("unshare").args(["-r", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no file system can be mounted here (unshare -r -m)");
        return None;
    }
    let mut command = site.command("unshare");
    command.args(["-r", "-m", "sh", "-euc", script]).env("TIDEMARK", tidemark());
    Some(Answer::from_command(&mut command))
}

/// Exit code from the line `name=<code>` that the script prints.
fn code(answer: &Answer, name: &str) -> i32 {
    let line = answer.out.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    line.unwrap_or_else(|| panic!("no {name}: {answer:?}")).parse().unwrap()
}

fn answered(site: &Site, name: &str, code: i32) -> Answer {
    let out = std::fs::read_to_string(site.path(name)).unwrap();
    Answer { code, out, err: String::new() }
}

/// Many rows that compress badly.
fn big(day: &str) -> String {
    let mut text = HEADER.to_owned();
    let mut state = 3u64;
    for invoice in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text += &format!("{invoice},{:x},{state:x},{},{day} 10:00:00,1.5,,France\n", state >> 16, 1 + (state >> 60));
    }
    text
}

const RUN: &str = r#"run() { set +e; "$TIDEMARK" run daily-sales --set SALES=in --set REPORTS=$2 --lake mnt/lake --at $3 --json > $1.json; echo "$1=$?"; set -e; }"#;

#[test]
fn a_full_disk_fails_the_run_and_loses_nothing() {
    let site = Site::with_daily_sales();
    std::fs::create_dir(site.path("mnt")).unwrap();
    site.write("in/07.csv", sales("2011-12-07", &[("1", "A", 2, "1.5")]));
    site.write("later/08.csv", big("2011-12-08"));
    // Space for a day of one row. The next day fills the disk at a different point of the run with each size.
    let script = format!(
        r#"{RUN}
        mount -t tmpfs -o size=400k none mnt
        run first out {MORNING}
        mv later/08.csv in/
        for size in 420 600 900 1100 1300 1500; do
            mount -o remount,size=${{size}}k mnt
            run full$size out 2011-12-10T08:00:00Z
            set +e; "$TIDEMARK" sql "SELECT COUNT(*) AS n FROM sales WHERE sold_on = '2011-12-07'" --lake mnt/lake --json > count$size.json; set -e
        done
        mount -o remount,size=64m mnt
        run free out 2011-12-10T08:00:00Z
        "$TIDEMARK" sql "SELECT COUNT(*) AS n, SUM(quantity) AS q FROM sales" --lake mnt/lake --json > count.json
        run again out 2011-12-10T08:00:00Z"#
    );
    let Some(answer) = with_mounts(&site, &script) else { return };
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(code(&answer, "first"), 0, "{}", std::fs::read_to_string(site.path("first.json")).unwrap());
    let mut failed = 0;
    for size in [420, 600, 900, 1100, 1300, 1500] {
        let name = format!("full{size}");
        let full = answered(&site, &format!("{name}.json"), code(&answer, &name));
        if full.code != 0 {
            failed += 1;
            full.fails(1, "refused", &["no space left", "free some space and run again"]);
        }
        assert_eq!(answered(&site, &format!("count{size}.json"), 0).rows(), [[1]], "the day before is there");
    }
    assert!(failed >= 2, "the disk never ran full: {answer:?}");
    answered(&site, "free.json", code(&answer, "free")).expect(0);
    assert_eq!(answered(&site, "count.json", 0).rows()[0][0], 20_001);
    let again = answered(&site, "again.json", code(&answer, "again")).expect(0);
    assert!(again.statuses().iter().all(|(_, status)| status == "nothing_to_do"), "{again:?}");
}

#[test]
fn a_full_disk_leaves_no_partial_reports() {
    let site = Site::with_daily_sales();
    std::fs::create_dir(site.path("mnt")).unwrap();
    std::fs::create_dir(site.path("out")).unwrap();
    site.write("in/07.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    let script = format!(
        r#"{RUN}
        mount -t tmpfs -o size=8k none out
        run full out {MORNING}
        mount -o remount,size=8m out
        run free out {MORNING}
        ls out > listing"#
    );
    let Some(answer) = with_mounts(&site, &script) else { return };
    let full = answered(&site, "full.json", code(&answer, "full"));
    assert_ne!(full.code, 0, "{full:?}");
    let error = full.error();
    assert!(["refused", "retry"].contains(&error["kind"].as_str().unwrap()), "{error}");
    answered(&site, "free.json", code(&answer, "free")).expect(0);
    let listing = std::fs::read_to_string(site.path("listing")).unwrap();
    assert!(listing.contains("sales.db") && listing.contains("daily-sales-2011-12-08.xlsx"), "{listing}");
    assert!(!listing.contains('#'), "half-written files: {listing}");
}

#[test]
fn a_read_only_disk_is_refused_but_can_be_read() {
    let site = Site::with_daily_sales();
    std::fs::create_dir(site.path("mnt")).unwrap();
    std::fs::create_dir(site.path("out")).unwrap();
    site.write("in/07.csv", sales("2011-12-07", &[("1", "A", 2, "1.5")]));
    site.write("later/08.csv", sales("2011-12-08", &[("2", "A", 3, "1.5")]));
    let script = format!(
        r#"{RUN}
        mount -t tmpfs -o size=8m none mnt
        mount -o remount,ro mnt
        run never out {MORNING}
        mount -o remount,rw mnt
        run first out {MORNING}
        mv later/08.csv in/
        mount -o remount,ro mnt
        run refused out 2011-12-10T08:00:00Z
        "$TIDEMARK" sql "SELECT COUNT(*) AS n FROM sales" --lake mnt/lake --json > count.json
        "$TIDEMARK" status --lake mnt/lake --json > status.json
        mount -o remount,rw mnt
        mount -t tmpfs -o ro none out
        run reports out 2011-12-10T08:00:00Z
        umount out
        run good out 2011-12-10T08:00:00Z
        "$TIDEMARK" sql "SELECT COUNT(*) AS n FROM sales" --lake mnt/lake --json > total.json"#
    );
    let Some(answer) = with_mounts(&site, &script) else { return };
    assert_eq!(answer.code, 0, "{answer:?}");
    let of = |name: &str| answered(&site, &format!("{name}.json"), code(&answer, name));
    of("never").fails(1, "refused", &["lake", "is writable"]);
    of("first").expect(0);
    of("refused").fails(1, "refused", &["is writable"]);
    // Reading works on a read-only disk.
    assert_eq!(answered(&site, "count.json", 0).rows(), [[1]]);
    let reports = of("reports");
    assert_ne!(reports.code, 0);
    assert!(reports.error()["message"].as_str().unwrap().contains("out"), "{reports:?}");
    of("good").expect(0);
    assert_eq!(answered(&site, "total.json", 0).rows(), [[2]]);
}
