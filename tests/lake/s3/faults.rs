//! When it is not: each fault is tried again or explained, by what it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use hyper::Method;
use object_store::ObjectStoreExt as _;
use tidemark_aws::{Account, Buckets, RetryPolicy, S3Fault};
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{Lake, LakeError, Meter, Requests, Store, StoreErrorContext};
use tokio::sync::Notify;

use super::{objects, one_bucket, runtime};
use crate::support::port::ClosedPort;
use crate::support::s3_server::{Rule, Trouble};
use crate::support::s3_server::{Server, brief};
use crate::support::wait::HANG;

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;

fn slow_down() -> Trouble {
    Trouble::Answer(503, "SlowDown", &[])
}

/// The fault below an error, and what becomes of it in a step.
fn explained(error: object_store::Error) -> (S3Fault, Error) {
    let fault = StoreErrorContext::find_in(&error).unwrap().fault.downcast_ref::<S3Fault>().unwrap().clone();
    let failure = Error::from(LakeError::store("lake s3://lake", error));
    let chain = failure.full_message();
    let (why, hint) = (fault.to_string(), fault.hint());
    assert_eq!((chain.matches(&why).count(), failure.hint.as_deref()), (1, Some(hint.as_str())), "{chain}");
    (fault, failure)
}

#[test]
fn a_write_that_meets_another_is_tried_again() {
    let conflict = || Trouble::Answer(409, "ConditionalRequestConflict", &[]);
    let (server, store) = one_bucket();
    server.fail(Rule { times: 3, ..Rule::once(PUT, "/x", conflict()) });
    assert!(store.create(&"x".into(), "mine").unwrap());
    assert_eq!(store.requests(), Requests { put: 4, ..Requests::default() });
    // it goes on and on: what stands there tells
    server.fail(Rule::always(PUT, "", conflict()));
    assert!(!store.create(&"x".into(), "mine").unwrap());
    let (fault, failure) = explained(store.create(&"y".into(), "mine").unwrap_err());
    assert!(matches!(fault, S3Fault::Conflict { .. }) && failure.kind == ErrorKind::Retry);
    let (_, seen) = store.get_version(&"x".into()).unwrap().unwrap();
    let (fault, _) = explained(store.replace(&"x".into(), "again", Some(seen.clone())).unwrap_err());
    assert!(matches!(fault, S3Fault::Conflict { .. }));
    server.recover();
    assert!(store.replace(&"x".into(), "again", Some(seen.clone())).unwrap());
    server.fail(Rule::always(PUT, "", conflict()));
    assert!(!store.replace(&"x".into(), "too late", Some(seen)).unwrap());
}

#[test]
fn a_write_whose_reply_was_lost_finds_itself() {
    let (server, store) = one_bucket();
    server.fail(Rule::once(PUT, "/x", Trouble::DoneThenReset));
    assert!(!store.create(&"x".into(), "mine").unwrap(), "whoever asks has to look whose it is");
    assert_eq!((store.get(&"x".into()).unwrap(), store.requests().put), (Bytes::from("mine"), 2));
    server.fail(Rule::once(PUT, "/y", Trouble::DoneThenReset));
    store.put(&"y".into(), "mine").unwrap();
}

#[test]
fn what_passes_is_tried_again() {
    for trouble in [slow_down(), Trouble::Answer(500, "InternalError", &[]), Trouble::Reset] {
        let (server, store) = one_bucket();
        store.put(&"x".into(), "x").unwrap();
        for method in [GET, PUT, Method::HEAD, Method::DELETE] {
            server.fail(Rule { times: 2, ..Rule::once(method, "/lake", trouble.clone()) });
        }
        assert_eq!(store.get(&"x".into()).unwrap(), "x", "{trouble:?}");
        store.head(&"x".into()).unwrap();
        store.put(&"y".into(), "y").unwrap();
        store.delete(&"x".into()).unwrap();
        // each attempt is counted
        assert_eq!(store.requests(), Requests { get: 6, put: 4, delete: 3, ..Requests::default() }, "{trouble:?}");
        server.recover();
        server.fail(Rule { times: 2, ..Rule::once(GET, "list-type", trouble) });
        assert_eq!((store.list(None).unwrap().len(), store.requests().list), (1, 3));
    }
}

#[test]
fn what_does_not_pass_is_to_be_run_again() {
    for (trouble, part) in
        [(slow_down(), "SlowDown"), (Trouble::Reset, "connection"), (Trouble::CutBody, "ended early")]
    {
        let (server, store) = one_bucket();
        store.put(&"x".into(), "0123456789").unwrap();
        server.fail(Rule::always(GET, "", trouble));
        let (_, failure) = explained(store.get(&"x".into()).unwrap_err());
        assert_eq!(
            (failure.kind, failure.hint.as_deref().map(|hint| hint.starts_with("run again"))),
            (ErrorKind::Retry, Some(true))
        );
        assert!(failure.full_message().contains(part), "{}", failure.full_message());
        assert!(store.requests().get >= 4);
    }
    // nobody is there
    let server = Server::atomic();
    let closed = ClosedPort::new();
    let endpoint = |name: &str, value| if name.contains("URL") { format!("http://{closed}") } else { value };
    let variables = server.variables().map(|(name, value)| (name, endpoint(name, value)));
    let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let account = Account::from_variables(variable, brief()).unwrap();
    let store = Buckets::new(&account, runtime(), &Meter::default()).folder("s3://lake").unwrap();
    let (fault, failure) = explained(store.get(&"x".into()).unwrap_err());
    assert!(matches!(fault, S3Fault::Connection { .. }) && failure.kind == ErrorKind::Retry, "{fault}");
}

/// A store that does not wait for long, and asks so often.
fn impatient(server: &Server, attempts: u32) -> Store {
    let patience = RetryPolicy { read: Duration::from_secs(1), attempts, ..brief() };
    Buckets::new(&server.account(patience), runtime(), &Meter::default()).folder("s3://lake").unwrap()
}

/// What never ends is given up, and what does not come again is asked for again.
#[test]
fn silence_has_an_end() {
    let (server, store) = one_bucket();
    store.put(&"x".into(), "0123456789").unwrap();
    for stall in [Trouble::Stall(2 * HANG), Trouble::StallBody(2 * HANG)] {
        server.fail(Rule::once(GET, "/x", stall.clone()));
        // more than one, for a machine that is slow
        assert_eq!(impatient(&server, 20).get(&"x".into()).unwrap(), "0123456789", "{stall:?}");
        server.fail(Rule::always(GET, "/x", stall));
        let (fault, failure) = explained(impatient(&server, 2).get(&"x".into()).unwrap_err());
        assert!(matches!(fault, S3Fault::Timeout { .. }) && failure.kind == ErrorKind::Retry, "{fault}");
        server.recover();
    }
}

#[test]
fn a_body_that_breaks_off_is_read_on() {
    let (server, store) = one_bucket();
    let content: Bytes = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(server.folder("lake").join("big"), &content).unwrap();
    for spared in 0..3 {
        server.asked();
        server.fail(Rule::once(GET, "/big", Trouble::CutBody).after(spared));
        assert!(store.get(&"big".into()).unwrap() == content);
        assert_eq!(server.asked().len(), 4);
        server.recover();
    }
}

#[test]
fn an_object_that_changes_is_never_mixed() {
    let (server, store) = one_bucket();
    let folder = server.folder("lake");
    std::fs::write(folder.join("big"), vec![1; 30 << 20]).unwrap();
    let objects = objects(&server);
    // a part of the first version waits until there is another
    let there_is_another = Arc::new(Notify::new());
    server.fail(Rule::once(GET, "/big", Trouble::StallUntil(there_is_another.clone())).after(2));
    let read = runtime().block_on(async {
        let got = objects.get(&"big".into()).await.unwrap();
        let mut stream = got.into_stream();
        let first = stream.try_next().await.unwrap().unwrap();
        assert!(first.iter().all(|byte| *byte == 1));
        std::fs::write(folder.join("next"), vec![2; 30 << 20]).unwrap();
        std::fs::rename(folder.join("next"), folder.join("big")).unwrap();
        there_is_another.notify_one();
        stream.try_collect::<Vec<_>>().await
    });
    assert!(matches!(read, Err(object_store::Error::Precondition { .. })), "{:?}", read.map(|chunks| chunks.len()));
    assert!(store.get(&"big".into()).unwrap().iter().all(|byte| *byte == 2));
}

#[test]
fn what_is_refused_is_explained() {
    let (server, store) = one_bucket();
    let region: &[_] = &[("x-amz-bucket-region", "eu-west-1")];
    let cases = [
        (
            Trouble::Answer(403, "AccessDenied", &[]),
            ErrorKind::Refused,
            "access to bucket lake is denied (AccessDenied)",
        ),
        (Trouble::Answer(400, "ExpiredToken", &[]), ErrorKind::Refused, "the credentials have expired"),
        (Trouble::Answer(403, "InvalidAccessKeyId", &[]), ErrorKind::Refused, "the credentials are not valid"),
        (
            Trouble::Answer(301, "PermanentRedirect", region),
            ErrorKind::Definition,
            "bucket lake is in region eu-west-1, but",
        ),
        (
            Trouble::Answer(400, "AuthorizationHeaderMalformed", region),
            ErrorKind::Definition,
            "bucket lake is in region eu-west-1, but us-east-1 is configured",
        ),
        (Trouble::Answer(404, "NoSuchBucket", &[]), ErrorKind::Definition, "there is no bucket lake"),
    ];
    for (trouble, kind, text) in cases {
        for method in [GET, PUT, Method::HEAD, Method::DELETE] {
            server.fail(Rule::always(method, "", trouble.clone()));
        }
        let path = "x".into();
        let mut errors = vec![
            store.get(&path).unwrap_err(),
            store.put(&path, "x").unwrap_err(),
            store.create(&path, "x").unwrap_err(),
            store.list(None).unwrap_err(),
            store.delete(&path).unwrap_err(),
        ];
        // the answer to a HEAD does not tell a bucket from an object
        if !text.contains("no bucket") {
            errors.push(store.head(&path).unwrap_err());
        }
        let before = store.requests().put;
        for error in errors {
            let (_, failure) = explained(error);
            assert_eq!(failure.kind, kind, "{trouble:?}: {}", failure.full_message());
            assert!(failure.full_message().contains(text), "{}", failure.full_message());
        }
        assert_eq!(store.requests().put, before);
        server.recover();
    }
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let server = Server::atomic();
    let store = server.store("s3://lakes", runtime());
    let failure = Error::from(Lake::open(store, true).map(drop).unwrap_err());
    assert_eq!(failure.kind, ErrorKind::Definition);
    assert!(failure.full_message().contains("there is no bucket lakes"), "{}", failure.full_message());
}

#[test]
fn credentials_of_nobody_are_refused() {
    let server = Server::atomic();
    server.bucket("lake");
    for wrong in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        let variables = server.variables();
        let variable = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(if name == wrong { "somebody-else".to_owned() } else { value.clone() })
        };
        let account = Account::from_variables(variable, brief()).unwrap();
        let store = Buckets::new(&account, runtime(), &Meter::default()).folder("s3://lake").unwrap();
        let (fault, failure) = explained(store.get(&"x".into()).unwrap_err());
        assert!(matches!(fault, S3Fault::InvalidCredentials { .. }), "{fault}");
        assert_eq!(failure.kind, ErrorKind::Refused);
        assert!(!failure.full_message().contains("somebody-else"), "{}", failure.full_message());
    }
}

#[test]
fn a_store_that_takes_no_notice_of_conditions_holds_no_lake() {
    let server = Server::ignoring();
    let place = server.bucket("lake");
    let opened = Lake::open(server.store(&place, runtime()), true).map(drop);
    assert!(matches!(opened, Err(LakeError::Unconditional { .. })), "{opened:?}");
    assert_eq!(Error::from(opened.unwrap_err()).kind, ErrorKind::Refused);
    let asked = server.asked();
    assert!(asked.len() < 6, "it is seen once: {asked:#?}");
}
