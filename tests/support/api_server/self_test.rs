//! Tests of the API server itself, with a client over plain TCP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::*;
use crate::support::wait::{HANG, until};

const FIELDS: Fields = Fields { id: "/id", time: "/at" };

/// Records 1 to `n`, one second apart.
fn records(n: i64) -> Vec<String> {
    (1..=n).map(|id| format!(r#"{{"id": {id},  "at": "2024-01-01T00:00:{id:02}Z"}}"#)).collect()
}

fn api(paging: Paging, form: Form) -> Api {
    let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
    Api::new(Style { size: 4, form, filter: Some(filter), ..Style::for_paging(paging) }, FIELDS, &records(10))
}

/// Status, head and body of an answer; `None` if the connection ends too early.
fn ask(api: &Api, request: &str, headers: &str, body: &str) -> Option<(u16, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(api.origin().strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    let length = body.len();
    let host = api.origin().replace("http://", "");
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok()?;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(all[..end].to_vec()).unwrap().to_lowercase();
    let body = all[end + 4..].to_vec();
    let declared_length =
        head.split_once("content-length: ").map(|(_, rest)| rest.lines().next().unwrap().parse().unwrap());
    declared_length.is_none_or(|length: usize| length == body.len()).then_some(())?;
    Some((head.split(' ').nth(1).unwrap().parse().unwrap(), head, body))
}

fn get(api: &Api, target: &str) -> (u16, String, Value) {
    let (status, head, body) = ask(api, &format!("GET {target}"), "", "").unwrap();
    (status, head, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn ids(records: &Value) -> Vec<i64> {
    records.as_array().unwrap().iter().map(|record| record["id"].as_i64().unwrap()).collect()
}

#[test]
fn every_kind_of_pagination_serves_its_pages() {
    let of = |paging| api(paging, Form::Data);
    let numbered = of(Paging::Page { first: 1, total: Total::Pages });
    assert_eq!(get(&numbered, "/v1?page=3").2["meta"]["pages"], 3);
    assert_eq!(ids(&get(&numbered, "/v1?page=3").2["data"]), [9, 10]);
    assert_eq!(ids(&get(&numbered, "/v1?page=2&per_page=3").2["data"]), [4, 5, 6]);
    assert_eq!(get(&numbered, "/v1?page=4").2["data"], serde_json::json!([]));
    assert_eq!(get(&numbered, "/v1?page=x").0, 400);

    let offset = of(Paging::Offset { total: Total::Records });
    let answer = get(&offset, "/v1?offset=8&limit=5").2;
    assert_eq!((ids(&answer["data"]), answer["meta"]["total"].as_i64()), (vec![9, 10], Some(10)));

    let cursor = of(Paging::Cursor);
    assert_eq!(get(&cursor, "/v1").2["meta"]["next"], "after-4");
    let body = r#"{"page": {"cursor": "after-8"}}"#;
    let last: Value = serde_json::from_slice(&ask(&cursor, "POST /v1", "", body).unwrap().2).unwrap();
    assert_eq!((ids(&last["data"]), &last["meta"]["next"]), (vec![9, 10], &Value::Null));

    let next = of(Paging::NextUrl { is_relative: false });
    let url = get(&next, "/v1?a=b%20c").2["links"]["next"].as_str().unwrap().to_owned();
    assert_eq!(url, format!("{}/v1?a=b+c&cursor=after-4", next.origin()));
    let link = api(Paging::LinkHeader { is_relative: true }, Form::Bare);
    let (_, head, bare) = get(&link, "/v1");
    assert!(head.contains("link: </v1?cursor=after-4>; rel=\"next\""), "{head}");
    assert_eq!(ids(&bare), [1, 2, 3, 4]);
    assert_eq!(ids(&get(&of(Paging::Keyset), "/v1?after=8").2["data"]), [9, 10]);

    let lines = ask(&api(Paging::Single, Form::Ndjson), "GET /v1", "", "").unwrap().2;
    // The records as given, byte for byte.
    assert_eq!(String::from_utf8(lines).unwrap(), records(10).join("\n") + "\n");
}

#[test]
fn records_are_filtered_by_time_and_can_be_added_and_changed() {
    let api = api(Paging::Single, Form::Bare);
    let asked = "/v1?since=2024-01-01T00:00:03Z&until=2024-01-01T00:00:05Z";
    assert_eq!(ids(&get(&api, asked).2), [3, 4]);
    api.append(&[r#"{"id": 3, "at": "2024-01-01T00:01:00Z"}"#.into()]);
    assert_eq!(ids(&get(&api, asked).2), [4]);
    assert_eq!(ids(&get(&api, "/v1?since=2024-01-01T00:00:10Z").2), [10, 3]);
    assert_eq!(get(&api, "/v1?since=soon").0, 400);
    let log = api.asked();
    assert_eq!(log.len(), 4);
    assert_eq!(log[0].parameter("until").as_deref(), Some("2024-01-01T00:00:05Z"));
    assert!(api.asked().is_empty());

    let by = |time, since, until, text: &str| {
        let record = records::Record::new(r#"{"id": 1, "at": "2024-01-31T23:59:59.5Z"}"#, FIELDS);
        let filter = Filter { time, since, until };
        [filter.has(&record, Some(text), None).unwrap(), filter.has(&record, None, Some(text)).unwrap()]
    };
    assert_eq!(by(Time::Date, Bound::Inclusive, Bound::Exclusive, "2024-01-31"), [true, false]);
    assert_eq!(by(Time::Date, Bound::Exclusive, Bound::Inclusive, "2024-01-31"), [false, true]);
    assert_eq!(by(Time::EpochMs, Bound::Exclusive, Bound::Inclusive, "1706745599500"), [false, true]);
    assert_eq!(by(Time::EpochS, Bound::Exclusive, Bound::Inclusive, "1706745599"), [true, false]);
}

#[test]
fn faults_occur_at_the_chosen_requests() {
    let api = api(Paging::Cursor, Form::Data);
    let occurred = api.fail(Rule::new(When::Nth(2), Fault::Answer(429, vec![("retry-after", "1".into())], "{}")));
    assert_eq!([1, 2, 3].map(|_| get(&api, "/v1").0), [200, 429, 200]);
    assert_eq!(occurred.times(), 1);
    api.recover();
    for (fault, is_whole) in [(Fault::Drop, false), (Fault::Cut, false), (Fault::Halve, true)] {
        let occurred = api.fail(Rule::new(When::Always, fault).for_part("broken"));
        let answer = ask(&api, "GET /v1?broken", "", "");
        assert_eq!((answer.is_some(), occurred.times()), (is_whole, 1));
        if let Some((_, _, body)) = answer {
            assert!(serde_json::from_slice::<Value>(&body).is_err());
        }
        assert_eq!(get(&api, "/v1").0, 200);
        api.recover();
    }
    let changed = Fault::Otherwise(|records| {
        records[0] = records[0].replace("24-01", "24-02");
        records.insert(1, r#"{"id": 77}"#.into());
    });
    let occurred = api.fail(Rule::new(When::Always, changed).for_part("new"));
    assert_eq!(ids(&get(&api, "/v1?new").2["data"]), [1, 2, 3, 4]);
    assert_eq!((ids(&get(&api, "/v1?new").2["data"]), occurred.times()), (vec![1, 77, 2, 3, 4], 1));
    api.recover();
    api.fail(Rule::new(When::First(1), Fault::Reorder));
    assert_eq!(ids(&get(&api, "/v1").2["data"]), [4, 3, 2, 1]);
    let random = api.fail(Rule::new(When::Random(7, 3), Fault::EmptyPage));
    let empty = (0..60).filter(|_| get(&api, "/v1").2["data"] == serde_json::json!([])).count();
    assert!((8..40).contains(&empty) && empty == random.times(), "{empty}");
    api.recover();
    api.fail(Rule::new(When::Always, Fault::Bomb(8)));
    let (_, head, packed) = ask(&api, "GET /v1", "", "").unwrap();
    assert!(packed.len() < 20_000 && head.contains("content-encoding: gzip"), "{head}");
}

#[test]
fn requests_are_authenticated_and_answers_compressed() {
    let api = api(Paging::Single, Form::Bare);
    api.guard(Auth::Token { client_id: "me", client_secret: "hush", uses: 1 });
    assert_eq!(get(&api, "/v1").0, 401);
    let form = "grant_type=client_credentials";
    let basic = "authorization: Basic bWU6aHVzaA==\r\n";
    assert_eq!(ask(&api, "POST /token", "", form).unwrap().0, 401);
    assert_eq!(ask(&api, "POST /token", basic, form).unwrap().0, 200);
    let body = ask(&api, "POST /token", "", &format!("{form}&client_id=me&client_secret=hush")).unwrap().2;
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["access_token"], "token-2");
    let mine = "authorization: Bearer token-2\r\n";
    assert_eq!([1, 2].map(|_| ask(&api, "GET /v1", mine, "").unwrap().0), [200, 401]);

    api.guard(Auth::Query("key", "k"));
    assert_eq!([get(&api, "/v1?key=k").0, get(&api, "/v1").0], [200, 401]);
    api.encode(Encoding::Zstd);
    let accept = "accept-encoding: gzip, zstd\r\n";
    let packed = ask(&api, "GET /v1?key=k", accept, "").unwrap().2;
    assert_eq!(zstd::decode_all(&packed[..]).unwrap(), format!("[{}]", records(10).join(",")).into_bytes());
    let origin = api.origin();
    drop(api);
    until("nobody listens", || TcpStream::connect(origin.strip_prefix("http://").unwrap()).is_err());
}
