//! What a fault becomes in a run: in its records, by kind, and after it.

use hyper::Method;
use tidemark_flow::{ErrorKind, Status};

use crate::support::daily_sales::sales::Sales;
use crate::support::daily_sales::{Backend, House, failures, has_status, s3};
use crate::support::faulty_store::Plan;
use crate::support::s3_server::{Rule, Trouble};

#[test]
fn a_fault_keeps_its_kind_in_a_run() {
    let (sales, house) = (Sales::new(40), House::new(Backend::S3));
    let source: &'static str = format!("/{}", sales.bucket(0)).leak();
    let file: &'static str = format!("{source}/2026-03-01.csv").leak();
    let reports: &'static str = format!("/{}/", house.bucket(1)).leak();
    let lake: &'static str = format!("/{}/", house.bucket(0)).leak();
    let denied = || Trouble::Answer(403, "AccessDenied", &[]);
    let cases = [
        (Method::GET, source, denied(), ErrorKind::Refused),
        (Method::GET, file, denied(), ErrorKind::Refused),
        (Method::GET, file, Trouble::Answer(400, "ExpiredToken", &[]), ErrorKind::Refused),
        (Method::GET, source, Trouble::Answer(404, "NoSuchBucket", &[]), ErrorKind::Definition),
        (Method::GET, file, Trouble::Answer(503, "SlowDown", &[]), ErrorKind::Retry),
        (Method::GET, file, Trouble::CutBody, ErrorKind::Retry),
        (Method::PUT, lake, Trouble::Reset, ErrorKind::Retry),
        (Method::PUT, reports, denied(), ErrorKind::Refused),
        (Method::PUT, reports, Trouble::Answer(503, "SlowDown", &[]), ErrorKind::Retry),
    ];
    let server = &s3().0;
    for (method, part, trouble, kind) in cases {
        server.fail(Rule::always(method, part, trouble.clone()));
        let kinds: Vec<ErrorKind> = match house.run(&sales, 0, &Plan::clean()) {
            Ok(records) => records.iter().filter_map(|record| Some(record.error.as_ref()?.kind)).collect(),
            Err(failure) => vec![failure.kind],
        };
        assert!(!kinds.is_empty() && kinds.iter().all(|found| *found == kind), "{part} {trouble:?}: {kinds:?}");
        server.recover_from(part);
    }
    let records = house.run(&sales, 0, &Plan::clean()).unwrap();
    assert!(failures(&records).is_empty() && !has_status(&records, Status::Failed), "{:?}", failures(&records));
}

/// The put of a commit takes effect, its reply is lost, and the client asks again by itself: it is our own commit.
#[test]
fn a_commit_whose_reply_was_lost_on_the_way_is_ours() {
    let sales = Sales::new(40);
    let (clean, house) = (House::new(Backend::S3), House::new(Backend::S3));
    clean.run(&sales, 0, &Plan::clean()).unwrap();
    let log: &'static str = format!("/{}/datasets/sales/_delta_log/", house.bucket(0)).leak();
    s3().0.fail(Rule::once(Method::PUT, log, Trouble::DoneThenReset));
    let records = house.run(&sales, 0, &Plan::clean()).unwrap();
    assert!(has_status(&records, Status::Done), "{:?}", failures(&records));
    house.standing().assert_equal(&clean.standing());
}
