//! A file that does not fit one invocation, with real bootstraps of 1,769 MB and one processor, in invocations of 60 s. This is a
//! measurement as much as a test, and takes long. `TIDEMARK_LARGE=5000` sets the size of the file in megabytes. Tests that need no real
//! time are in `parts`.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{assert_same, from_stack};
use crate::support::lambda::{Answer, Stack, morning};
use crate::support::project::public_data;

const LIMIT: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const AT: &str = "2011-12-09T08:00:00Z";

/// The totals of all invocations of a step.
#[derive(Default)]
struct Sum {
    step: String,
    invocations: u32,
    killed: u32,
    /// Invocations before the last one of their step.
    continued: u32,
    seconds: f64,
    longest: f64,
    dollars: f64,
    peak_mib: u64,
    requests: [u64; 3],
}

#[test]
fn large_file_takes_several_invocations() {
    let Some(megabytes) = std::env::var("TIDEMARK_LARGE").ok().and_then(|text| text.parse::<u64>().ok()) else {
        eprintln!("skipped: TIDEMARK_LARGE says of how many megabytes the file is to be");
        return;
    };
    let Some(sales) = public_data("A/online_retail.csv.gz") else { return };
    let stack = Stack::on_one_processor();
    write_repeated(&sales, &stack, megabytes << 20);
    let sums = carry(&stack, LIMIT);
    println!("step, invocations, killed, billed s, longest s, USD, peak MiB, GET, PUT, LIST");
    for Sum {
        step,
        invocations,
        killed,
        continued: _,
        seconds,
        longest,
        dollars,
        peak_mib,
        requests: [get, put, list],
    } in &sums
    {
        println!(
            "{step}, {invocations}, {killed}, {seconds:.1}, {longest:.1}, {dollars:.5}, {peak_mib}, {get}, {put}, {list}"
        );
    }
    let invocations: u32 = sums.iter().map(|sum| sum.invocations).sum();
    let (seconds, dollars) = sums.iter().fold((0.0, 0.0), |(s, d), sum| (s + sum.seconds, d + sum.dollars));
    println!("all: {invocations} invocations, {seconds:.1} s billed, {dollars:.5} USD");
    // the same without a time limit
    let whole = stack.sibling("whole");
    let one_by_one = carry(&whole, DAY);
    assert!(one_by_one.iter().all(|sum| sum.continued == 0));
    assert!(sums.iter().any(|sum| sum.continued > 0), "{megabytes} MB fit into one invocation");
    assert_same(&from_stack(&stack), &from_stack(&whole));
}

/// Handles the morning's event and everything it triggers.
fn carry(stack: &Stack, limit: Duration) -> Vec<Sum> {
    let (mut due, mut sums) = (vec![morning(AT)], Vec::new());
    while !due.is_empty() {
        let event = due.remove(0);
        invoke(stack, &event, limit, &mut sums);
        due.extend(stack.bus.take());
    }
    sums
}

/// Invokes as Lambda does: a function that exceeds its time is killed, and gets the same event again, at most twice.
fn invoke(stack: &Stack, event: &Value, limit: Duration, sums: &mut Vec<Sum>) {
    for _ in 0..3 {
        let began = Instant::now();
        let answer = stack.function(event, 0).invoke_until(event, limit, || began.elapsed() > limit);
        let seconds = began.elapsed().as_secs_f64();
        let step = match &answer {
            Answer::Done(record) => record["step"].as_str().unwrap().to_owned(),
            _ => event["detail"]["step"].as_str().unwrap_or("ingest").to_owned(),
        };
        let at = sums.iter().position(|sum| sum.step == step).unwrap_or(sums.len());
        if at == sums.len() {
            sums.push(Sum { step, ..Sum::default() });
        }
        let sum = &mut sums[at];
        sum.invocations += 1;
        sum.seconds += seconds;
        sum.longest = sum.longest.max(seconds);
        match answer {
            Answer::Done(record) => {
                sum.continued += u32::from(record["status"] == "continues");
                sum.dollars += record["cost_usd"].as_f64().unwrap();
                sum.peak_mib = sum.peak_mib.max(record["peak_memory_bytes"].as_u64().unwrap() >> 20);
                for (sum, kind) in sum.requests.iter_mut().zip(["get", "put", "list"]) {
                    *sum += record["requests"][kind].as_u64().unwrap();
                }
                return;
            }
            Answer::Died => sum.killed += 1,
            Answer::Failed(kind, message) => panic!("{kind}: {message}"),
        }
    }
    panic!("{event} did not end in three times {limit:?}");
}

/// Writes the sales file with its rows repeated up to a size.
fn write_repeated(sales: &Path, stack: &Stack, bytes: u64) {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(sales).unwrap()).read_to_end(&mut text).unwrap();
    let (header, rows) = text.split_at(text.iter().position(|&byte| byte == b'\n').unwrap() + 1);
    let bucket = stack.s3.folder("sales");
    std::fs::create_dir_all(bucket.join("daily")).unwrap();
    let mut file = std::fs::File::create(bucket.join("daily/large.csv")).unwrap();
    file.write_all(header).unwrap();
    for _ in 0..bytes.div_ceil(rows.len() as u64) {
        file.write_all(rows).unwrap();
    }
    // the server would read the whole file at each request to compute its ETag, so store the ETag beside it, under the names in base64
    let (of_bucket, of_key) = ("c2FsZXM", "ZGFpbHkvbGFyZ2UuY3N2");
    let kept = format!(".bucket-{of_bucket}.object-{of_key}.internal.json");
    std::fs::write(bucket.with_file_name(kept), r#"{"e_tag": "large"}"#).unwrap();
}
