//! When all is well: every operation does what it says, with no more requests than it takes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion};
use tidemark_flow::Place;
use tidemark_lake::{Meter, Requests};

use super::{objects, one_bucket, runtime};
use crate::support::s3_server::Server;
use crate::support::wait::{HANG, until};

/// No two parts of it are alike.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length / 8).flatten().collect()
}

#[test]
fn objects_are_written_read_listed_and_deleted() {
    let (server, _) = one_bucket();
    let store = objects(&server);
    let text = |range: GetRange| async {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        store.get_opts(&"a/b.txt".into(), options).await?.bytes().await
    };
    runtime().block_on(async {
        store.put(&"a/b.txt".into(), "0123456789".into()).await.unwrap();
        store.put(&"a/c/d.txt".into(), "d".into()).await.unwrap();
        store.put(&"empty".into(), PutPayload::default()).await.unwrap();
        let got = store.get(&"a/b.txt".into()).await.unwrap();
        assert_eq!((got.range.clone(), got.meta.size), (0..10, 10));
        let head = store.head(&"a/b.txt".into()).await.unwrap();
        assert_eq!(head.e_tag, got.meta.e_tag);
        assert!(head.e_tag.is_some() && head.last_modified.timestamp() > 1_700_000_000);
        assert_eq!(got.bytes().await.unwrap(), "0123456789");
        assert_eq!(store.get(&"empty".into()).await.unwrap().bytes().await.unwrap(), "");
        assert_eq!(text(GetRange::Bounded(2..4)).await.unwrap(), "23");
        assert_eq!(text(GetRange::Bounded(8..40)).await.unwrap(), "89");
        assert_eq!(text(GetRange::Offset(7)).await.unwrap(), "789");
        assert_eq!(text(GetRange::Suffix(3)).await.unwrap(), "789");
        assert!(text(GetRange::Offset(40)).await.is_err());
        let parts = store.get_ranges(&"a/b.txt".into(), &[1..3, 7..9]).await.unwrap();
        assert_eq!(parts, ["12", "78"]);

        let names = |list: Vec<object_store::ObjectMeta>| list.into_iter().map(|m| m.location.to_string()).collect();
        let all: Vec<String> = names(store.list(None).try_collect().await.unwrap());
        assert_eq!(all, ["a/b.txt", "a/c/d.txt", "empty"]);
        let some: Vec<String> = names(store.list(Some(&"a/c".into())).try_collect().await.unwrap());
        assert_eq!(some, ["a/c/d.txt"]);
        let later = store.list_with_offset(None, &"a/b.txt".into()).try_collect().await.unwrap();
        assert_eq!(names(later), ["a/c/d.txt", "empty"]);
        let level = store.list_with_delimiter(Some(&"a".into())).await.unwrap();
        assert_eq!((level.common_prefixes, names(level.objects)), (vec!["a/c".into()], vec!["a/b.txt".to_owned()]));

        store.copy(&"a/b.txt".into(), &"copy".into()).await.unwrap();
        assert_eq!(store.get(&"copy".into()).await.unwrap().bytes().await.unwrap(), "0123456789");
        store.delete(&"copy".into()).await.unwrap();
        assert!(matches!(store.get(&"copy".into()).await, Err(Error::NotFound { .. })));
        assert!(matches!(store.head(&"copy".into()).await, Err(Error::NotFound { .. })));
        let gone = futures::stream::iter(["a/b.txt", "a/c/d.txt", "never.was"].map(|path| Ok(Path::from(path))));
        let gone: Vec<_> = store.delete_stream(gone.boxed()).try_collect().await.unwrap();
        assert_eq!(gone.len(), 3);
        let left: Vec<String> = names(store.list(None).try_collect().await.unwrap());
        assert_eq!(left, ["empty"]);
    });
    assert!(server.asked().iter().any(|asked| asked.starts_with("POST /lake/?delete")), "many go at once");
}

#[test]
fn a_condition_is_kept() {
    let (server, _) = one_bucket();
    let store = objects(&server);
    let path = Path::from("x");
    runtime().block_on(async {
        let put = |body: &'static str, mode: PutMode| store.put_opts(&path, body.into(), mode.into());
        let first = put("1", PutMode::Create).await.unwrap();
        assert!(matches!(put("2", PutMode::Create).await, Err(Error::AlreadyExists { .. })));
        let seen = UpdateVersion { e_tag: first.e_tag.clone(), version: None };
        put("3", PutMode::Update(seen.clone())).await.unwrap();
        assert!(matches!(put("4", PutMode::Update(seen)).await, Err(Error::Precondition { .. })));
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "3");
        for head in [false, true] {
            let wanted = GetOptions { if_match: first.e_tag.clone(), head, ..GetOptions::default() };
            assert!(matches!(store.get_opts(&path, wanted).await, Err(Error::Precondition { .. })));
            let e_tag = store.head(&path).await.unwrap().e_tag;
            let unwanted = GetOptions { if_none_match: e_tag, head, ..GetOptions::default() };
            assert!(matches!(store.get_opts(&path, unwanted).await, Err(Error::NotModified { .. })));
        }
    });
}

#[test]
fn a_listing_comes_in_pages() {
    let (server, store) = one_bucket();
    let folder = server.folder("lake").join("many");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..2500 {
        std::fs::write(folder.join(format!("{number:04}.csv")), "x").unwrap();
    }
    let found = store.list(Some(&"many".into())).unwrap();
    assert_eq!(found.len(), 2500);
    assert!(found.is_sorted_by(|a, b| a.location < b.location) && found.iter().all(|meta| meta.e_tag.is_some()));
    assert_eq!((server.asked().len(), store.requests()), (3, Requests { list: 3, ..Requests::default() }));
    // whoever needs the first only does not ask for the rest
    let objects = objects(&server);
    let first = runtime().block_on(objects.list(None).next()).unwrap().unwrap();
    assert_eq!((first.location.as_ref(), server.asked().len()), ("many/0000.csv", 1));
}

#[test]
fn a_big_object_is_read_in_parts() {
    let (server, store) = one_bucket();
    let content = noise(30 << 20);
    std::fs::write(server.folder("lake").join("big"), &content).unwrap();
    let began = Instant::now();
    let (meta, opened) = store.open(&"big".into()).unwrap();
    let tidemark_lake::Opened::Stream(mut stream) = opened else { panic!("no file") };
    let mut found = Vec::new();
    stream.read_to_end(&mut found).unwrap();
    println!("{} MiB in {:?}", meta.size >> 20, began.elapsed());
    assert!(found == content);
    assert_eq!(store.requests(), Requests { get: 4, ..Requests::default() });
    assert!(store.get_range(&"big".into(), 5_000_000..29_000_000).unwrap() == content.slice(5_000_000..29_000_000));
}

/// Prints how long a request takes, both ends of it unoptimized.
#[test]
fn a_request_takes_a_moment() {
    let (_server, store) = one_bucket();
    store.put(&"x".into(), "x").unwrap();
    let each = |act: &dyn Fn()| {
        let began = Instant::now();
        (0..100).for_each(|_| act());
        began.elapsed() / 100
    };
    let get = each(&|| drop(store.get(&"x".into()).unwrap()));
    let put = each(&|| store.put(&"x".into(), "x").unwrap());
    let head = each(&|| drop(store.head(&"x".into()).unwrap()));
    println!("get {get:?}, put {put:?}, head {head:?}");
    assert_eq!(store.requests(), Requests { get: 200, put: 101, ..Requests::default() });
}

#[test]
fn what_is_long_is_written_in_parts() {
    let (server, store) = one_bucket();
    let content = noise(101 << 20);
    let began = Instant::now();
    assert!(store.create(&"big".into(), content.clone()).unwrap());
    println!("{} MiB in {:?}", content.len() >> 20, began.elapsed());
    assert_eq!(store.requests(), Requests { put: 9, ..Requests::default() });
    assert!(std::fs::read(server.folder("lake").join("big")).unwrap() == content);
    assert!(!store.create(&"big".into(), content).unwrap(), "the condition holds for what comes in parts");
    take_back_is_asked(&server);
}

/// The parts of an upload are asked to be deleted, by and by.
fn take_back_is_asked(server: &Server) {
    until("the parts are taken back", || {
        server.asked().iter().any(|asked| asked.starts_with("DELETE /lake/") && asked.contains("uploadId"))
    });
}

#[test]
fn an_upload_is_whole_or_not_at_all() {
    let (server, store) = one_bucket();
    let objects = objects(&server);
    let parts = [noise(5 << 20), noise(1 << 20)];
    runtime().block_on(async {
        let mut upload = objects.put_multipart(&"up".into()).await.unwrap();
        let sent: Vec<_> = parts.iter().map(|part| upload.put_part(part.clone().into())).collect();
        // they may come in any order
        for part in sent.into_iter().rev() {
            part.await.unwrap();
        }
        upload.complete().await.unwrap();
        drop(upload);
    });
    assert!(store.get(&"up".into()).unwrap() == parts.concat());
    server.asked();
    runtime().block_on(async {
        let mut aborted = objects.put_multipart(&"aborted".into()).await.unwrap();
        aborted.put_part("x".into()).await.unwrap();
        aborted.abort().await.unwrap();
    });
    take_back_is_asked(&server);
    runtime().block_on(async { drop(objects.put_multipart(&"dropped".into()).await.unwrap()) });
    take_back_is_asked(&server);
    let names: Vec<_> = store.list(None).unwrap().into_iter().map(|meta| meta.location.to_string()).collect();
    assert_eq!(names, ["up"]);
}

#[test]
fn a_key_is_what_it_is_called() {
    let (server, store) = one_bucket();
    let odd =
        ["a b+c%20ä&=?.csv", "x/~'()*!;:@$,#[].csv", "_day=2011-12-09/%2F.parquet", "…/日本.csv", "q\"<>\\^`{|}.csv"];
    for name in odd {
        let path = Path::parse(name).unwrap();
        store.put(&path, name).unwrap();
        assert_eq!(std::fs::read_to_string(server.folder("lake").join(name)).unwrap(), name);
        assert_eq!(store.get(&path).unwrap(), name);
        assert_eq!(store.head(&path).unwrap().size, name.len() as u64);
        let link = store.link(&path, HANG).unwrap();
        assert_eq!(fetch(&link), name, "{link}");
        let copy = Path::parse(format!("copy/{name}")).unwrap();
        runtime().block_on(objects(&server).copy(&path, &copy)).unwrap();
        assert_eq!(store.get(&copy).unwrap(), name);
        store.delete(&copy).unwrap();
    }
    let mut found: Vec<_> = store.list(None).unwrap().into_iter().map(|meta| meta.location.to_string()).collect();
    found.sort();
    let mut expected = odd.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
    for name in odd {
        let place = server.buckets(runtime(), &Meter::default()).locate(&format!("s3://lake/{name}")).unwrap();
        let Place::File { folder, name: file } = place else { panic!("{name} is an object") };
        assert_eq!(folder.get(&Path::parse(&file).unwrap()).unwrap(), name);
    }
}

/// What a browser would do with a link.
fn fetch(link: &str) -> String {
    let rest = link.strip_prefix("http://").unwrap();
    let (host, target) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{target} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_path_names_an_object_or_what_is_below_it() {
    let (server, store) = one_bucket();
    store.put(&"in/a.csv".into(), "a").unwrap();
    let buckets = server.buckets(runtime(), &Meter::default());
    server.asked();
    let is_folder = |path: &str, asks: usize| {
        let place = buckets.locate(path).unwrap();
        assert_eq!(server.asked().len(), asks, "{path}");
        match place {
            Place::Folder(folder) => Ok(folder.place().to_owned()),
            Place::File { folder, name } => Err((folder.place().to_owned(), name)),
        }
    };
    assert_eq!(is_folder("s3://lake", 0), Ok("s3://lake".into()));
    assert_eq!(is_folder("s3://lake/in/", 0), Ok("s3://lake/in".into()));
    assert_eq!(is_folder("s3://lake/in", 1), Ok("s3://lake/in".into()));
    assert_eq!(is_folder("s3://lake/in/a.csv", 1), Err(("s3://lake/in".into(), "a.csv".into())));
    let below = buckets.folder("s3://lake/in").unwrap();
    assert_eq!(below.list(None).unwrap()[0].location.as_ref(), "a.csv");
    assert_eq!(below.get(&"a.csv".into()).unwrap(), "a");
}
