//! Faults of the API, and the requests they affect.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

use super::page::Page;

pub type Wrong = Box<dyn std::error::Error + Send + Sync>;
pub type Body = UnsyncBoxBody<Bytes, Wrong>;

#[derive(Debug, Clone)]
pub enum Fault {
    /// This answer instead of the real one: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, &'static str),
    /// The connection is closed before the answer.
    Drop,
    /// The connection is closed in the middle of a body with `Content-Length`.
    Cut,
    /// The second half of the body is missing, and `Content-Length` agrees.
    Halve,
    /// A pause before the answer.
    Stall(Duration),
    /// A pause in the middle of the body.
    StallBody(Duration),
    /// The previous answer again.
    PreviousPage,
    /// The records of the page in reverse order.
    Reorder,
    /// No records, but a next page.
    EmptyPage,
    /// An HTML login page with status 200.
    Login,
    /// Text that is not JSON.
    NotJson,
    /// The records are in a field of another name.
    RecordsGone,
    /// The next page is at this origin (`http://host:port`).
    NextElsewhere(String),
    /// This many MiB of blanks, compressed to a thousandth.
    Bomb(usize),
    /// An endless body of blanks.
    Endless,
    /// A page that is requested again has other records.
    Otherwise(fn(&mut Vec<String>)),
}

/// Which of the matching requests are affected, counted from 1.
#[derive(Debug, Clone, Copy)]
pub enum When {
    Always,
    Nth(usize),
    First(usize),
    Every(usize),
    /// Pseudorandom with a seed: one in the second number.
    Random(u64, u64),
}

impl When {
    fn is(self, n: usize) -> bool {
        match self {
            When::Always => true,
            When::Nth(nth) => n == nth,
            When::First(most) => n <= most,
            When::Every(step) => n.is_multiple_of(step),
            When::Random(seed, one_in) => {
                let mut mixed = seed.wrapping_add(n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                ((mixed ^ (mixed >> 27)) >> 33).is_multiple_of(one_in)
            }
        }
    }
}

#[derive(Debug, Clone)]
pub struct Rule {
    /// Part of path and query that a request must contain.
    pub part: &'static str,
    pub when: When,
    pub fault: Fault,
}

impl Rule {
    pub fn new(when: When, fault: Fault) -> Rule {
        Rule { part: "", when, fault }
    }

    pub fn for_part(self, part: &'static str) -> Rule {
        Rule { part, ..self }
    }
}

/// Number of requests that a rule has affected.
#[derive(Debug, Clone, Default)]
pub struct Befell(Arc<AtomicUsize>);

impl Befell {
    pub fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Counted {
    rule: Rule,
    matched: usize,
    befell: Befell,
}

#[derive(Default)]
pub struct Rules(Mutex<Vec<Counted>>);

impl Rules {
    pub fn add(&self, rule: Rule) -> Befell {
        let befell = Befell::default();
        self.0.lock().unwrap().push(Counted { rule, matched: 0, befell: befell.clone() });
        befell
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// The fault of this request, by the first rule that applies. `is_again`: the same request was made before.
    pub fn befalls(&self, target: &str, is_again: bool) -> Option<Fault> {
        let mut rules = self.0.lock().unwrap();
        let mut found = None;
        for counted in rules.iter_mut().filter(|counted| target.contains(counted.rule.part)) {
            if matches!(counted.rule.fault, Fault::Otherwise(_)) && !is_again {
                continue;
            }
            counted.matched += 1;
            if found.is_none() && counted.rule.when.is(counted.matched) {
                counted.befell.0.fetch_add(1, Ordering::SeqCst);
                found = Some(counted.rule.fault.clone());
            }
        }
        found
    }
}

/// Changes the page before it is formatted; `target` is path and query of the request.
pub fn befall_page(fault: &Fault, page: &mut Page, target: &str) {
    match fault {
        Fault::Reorder => page.records.reverse(),
        Fault::EmptyPage => page.records.clear(),
        Fault::NextElsewhere(origin) => page.next = Some(format!("{origin}{target}")),
        Fault::Otherwise(change) => change(&mut page.records),
        _ => {}
    }
}

pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The first half of a body, a pause, then the rest or the end of the connection.
pub fn halved(bytes: Bytes, pause: Duration, is_cut: bool) -> Body {
    let (first, second) = (bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..));
    let rest = stream::once(async move {
        tokio::time::sleep(pause).await;
        if is_cut { Err(Wrong::from("cut")) } else { Ok(Frame::data(second)) }
    });
    StreamBody::new(stream::once(async move { Ok(Frame::data(first)) }).chain(rest)).boxed_unsync()
}

/// `[`, followed by endless blanks.
pub fn endless() -> Body {
    let begin = stream::once(async { Ok(Frame::data(Bytes::from_static(b"["))) });
    let blanks = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b' '; 1 << 16]))));
    StreamBody::new(begin.chain(blanks)).boxed_unsync()
}

/// This many MiB of blanks, gzipped.
pub fn bomb(mib: usize) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..mib {
        packer.write_all(&[b' '; 1 << 20]).unwrap();
    }
    packer.finish().unwrap()
}
