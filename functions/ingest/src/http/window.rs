//! One window, page by page: those that have landed, then those that are asked for, each put down before the next is asked for.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Context, Failure, Kind};
use tidemark_lake::Landing;
use tidemark_pipeline::PipelineName;
use tidemark_pipeline::http::Http;

use super::gather::{Gathered, hash_of};
use crate::http::client::{Answer, Client, NoAnswer};
use crate::http::landed::{Note, packed, unpacked};
use crate::http::page::{Page, Reader};
use crate::http::paging::{Doubt, Walk, found, is_by_place};
use crate::http::request::{Next, request, without_key};
use crate::incremental::bookmark::{Window, Within};

/// How often an answer is asked for again that is cut, or out of order: an API under load may give a better one.
const LOOKS: u32 = 3;
/// After this long, pages that are told apart by their place may have moved: the last one is looked at again before going on.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

/// How the reading of a window ended.
pub(crate) enum Read {
    /// All of its pages are in.
    Whole,
    /// The time is over; here it goes on.
    Late(Box<Within>),
    /// What has landed of it is of no use: it is to be read anew. `is_news`: that has been found out only now.
    Void { is_news: bool },
}

/// Reads windows of one source.
pub(crate) struct Pages<'a> {
    pub context: &'a Context<'a>,
    pub http: &'a Http,
    /// Stands for what decides what is asked for.
    pub definition: &'a str,
    pub pipeline: &'a PipelineName,
    pub client: &'a Client<'a>,
}

/// One way through a window.
pub(crate) struct Pass {
    pub window: Window,
    landing: Landing,
    /// The page to come: its number, and how it is asked for.
    page: u32,
    next: Next,
    walk: Walk,
    /// Pages that had landed before, and that were asked for.
    pub adopted: u32,
    pub asked: u32,
    /// Bytes as they were sent.
    pub bytes: u64,
    /// Answers that came before their turn.
    queue: VecDeque<(Next, Result<Answer, NoAnswer>)>,
    /// The last page that had landed before: how it was asked for, when, and what it held.
    before: Option<(Next, Timestamp, Vec<u128>)>,
    /// The page that leads no further: it lands with the commit, if there is one.
    last: Option<(u32, Note, String)>,
}

/// A page that has come, with the hashes of its records.
struct Came {
    note: Note,
    body: String,
    hashes: Vec<u128>,
}

/// What an attempt to get a page came to.
enum Got {
    Page(Box<Came>),
    Late(Duration),
    Void,
}

impl Pass {
    pub(crate) fn new(pages: &Pages<'_>, window: Window, within: Option<&Within>) -> Pass {
        let landing = Landing { pipeline: pages.pipeline.clone(), window: window.name.clone() };
        let paging = pages.http.pagination.clone().or_else(|| within?.paging.clone());
        let (page, next, received) =
            within.map_or((1, Next::First, 0), |within| (within.page, within.next.clone(), within.received));
        Pass {
            window,
            landing,
            page,
            next,
            walk: Walk::new(paging, pages.http.allows_empty, received),
            adopted: 0,
            asked: 0,
            bytes: 0,
            queue: VecDeque::new(),
            before: None,
            last: None,
        }
    }

    /// Pages that are in.
    pub(crate) fn pages(&self) -> u32 {
        self.adopted + self.asked
    }

    /// Puts down the last page.
    pub(crate) fn land(&mut self, context: &Context<'_>) -> Result<(), Failure> {
        if let Some((page, note, body)) = self.last.take() {
            self.landing.land(context.lake, page, pack(&note, &body)?)?;
        }
        Ok(())
    }

    /// Nobody shall go on with what has landed; it stays to be looked at.
    pub(crate) fn give_up(&self, context: &Context<'_>) -> Result<(), Failure> {
        Ok(self.landing.make_void(context.lake)?)
    }

    /// Deletes what has landed and is no news, so that nobody takes it for the answer to a later question.
    pub(crate) fn forget(&self, context: &Context<'_>) {
        self.landing.forget(context.lake, self.page - 1 - u32::from(self.last.is_some()));
    }

    fn within(&self, pages: &Pages<'_>, gathered: &Gathered<'_>) -> Box<Within> {
        Box::new(Within {
            definition: pages.definition.to_owned(),
            window: self.window.clone(),
            page: self.page,
            next: self.next.clone(),
            received: self.walk.received,
            greatest: gathered.greatest,
            paging: self.walk.paging.clone(),
            begun_at: gathered.begun_at,
            complete: None,
        })
    }
}

impl Pages<'_> {
    /// Reads a window from where it was left to its end, or until the time is over.
    pub(crate) fn read(&self, pass: &mut Pass, gathered: &mut Gathered<'_>) -> Result<Read, Failure> {
        while let Some((note, body)) = self.landed(pass)? {
            if pass.adopted == 0 && pass.landing.is_void(self.context.lake)? {
                return Ok(Read::Void { is_news: false });
            }
            if note.definition != self.definition || note.range.since != pass.window.range.since {
                return self.void(pass);
            }
            if note.range != pass.window.range {
                // it is the window of whoever began it
                (pass.window.range, pass.window.is_last) = (note.range, true);
            }
            let hashes = self.hashes(pass, &note, &body)?;
            if !self.take(pass, gathered, &Came { note, body, hashes })? {
                pass.adopted += 1;
                return Ok(Read::Whole);
            }
            pass.adopted += 1;
            if self.context.is_late() {
                return Ok(Read::Late(pass.within(self, gathered)));
            }
        }
        self.look_back(pass)?;
        if self.has_moved(pass)? {
            return self.void(pass);
        }
        loop {
            let came = match self.get(pass)? {
                Got::Page(came) => self.put_down(pass, *came)?,
                Got::Late(wait) if pass.pages() == 0 => {
                    let message = format!(
                        "{} is to be waited for {:.0} s, longer than there is time",
                        self.http.url,
                        wait.as_secs_f64()
                    );
                    return Err(Failure::new(Kind::Retry, message).hint("run again later"));
                }
                Got::Late(_) => return Ok(Read::Late(pass.within(self, gathered))),
                Got::Void => return self.void(pass),
            };
            let goes_on = self.take(pass, gathered, &came)?;
            pass.asked += 1;
            if !goes_on {
                return Ok(Read::Whole);
            }
            if self.context.is_late() {
                return Ok(Read::Late(pass.within(self, gathered)));
            }
        }
    }

    fn void(&self, pass: &Pass) -> Result<Read, Failure> {
        pass.give_up(self.context)?;
        Ok(Read::Void { is_news: true })
    }

    /// Takes in a page; whether there is one behind it.
    fn take(&self, pass: &mut Pass, gathered: &mut Gathered<'_>, came: &Came) -> Result<bool, Failure> {
        let Came { note, body, hashes } = came;
        pass.walk.paging = pass.walk.paging.take().or(note.paging.clone());
        let page = self.page(pass, body)?;
        // a page of somebody else's may have been asked for before we began
        gathered.begun_at = gathered.begun_at.min(note.fetched_at);
        gathered.page(pass.page, &page.records, hashes)?;
        pass.walk.pass(&note.asked, content(hashes), note.received);
        if pass.asked == 0 {
            pass.before = Some((note.asked.clone(), note.fetched_at, hashes.clone()));
        }
        pass.page += 1;
        match &note.next {
            None => Ok(false),
            Some(next) => {
                pass.next = next.clone();
                Ok(true)
            }
        }
    }

    fn page<'b>(&self, pass: &Pass, body: &'b str) -> Result<Page<'b>, Failure> {
        let reader = Reader::new(self.http, pass.walk.paging.as_ref());
        reader.read(body, None).map_err(|misshapen| self.misshapen(pass, misshapen.message, body))
    }

    /// Of a page that had landed before.
    fn hashes(&self, pass: &mut Pass, note: &Note, body: &str) -> Result<Vec<u128>, Failure> {
        pass.walk.paging = pass.walk.paging.take().or(note.paging.clone());
        Ok(hashes(&self.page(pass, body)?))
    }

    /// The page to come, if it has landed, as the answer to what we would ask.
    fn landed(&self, pass: &Pass) -> Result<Option<(Note, String)>, Failure> {
        let Some(bytes) = pass.landing.page(self.context.lake, pass.page)? else { return Ok(None) };
        // the first says what window it is; those behind it may be of another run, for another time
        let is_ours = |note: &Note| pass.page == 1 || note.range == pass.window.range;
        Ok(unpacked(&bytes).filter(|(note, _)| note.asked == pass.next && is_ours(note)))
    }

    /// Where a window is gone on with, and pages are told apart by their place: the page before, which an earlier commit has brought.
    fn look_back(&self, pass: &mut Pass) -> Result<(), Failure> {
        if pass.before.is_some() || pass.page == 1 || !pass.walk.paging.as_ref().is_some_and(is_by_place) {
            return Ok(());
        }
        let landed = pass.landing.page(self.context.lake, pass.page - 1)?;
        if let Some((note, body)) = landed.and_then(|bytes| unpacked(&bytes)) {
            let hashes = self.hashes(pass, &note, &body)?;
            pass.before = Some((note.asked, note.fetched_at, hashes));
        }
        Ok(())
    }

    /// Whether the last page that had landed is another one now.
    fn has_moved(&self, pass: &Pass) -> Result<bool, Failure> {
        let (Some(paging), Some((asked, fetched_at, hashes))) = (&pass.walk.paging, &pass.before) else {
            return Ok(false);
        };
        if !is_by_place(paging) || (self.context.clock)().duration_since(*fetched_at) < SETTLED {
            return Ok(false);
        }
        let again = request(self.http, Some(paging), pass.window.range, asked)?;
        match self.client.send(&[again]).pop() {
            Some(Ok(answer)) => {
                let reader = Reader::new(self.http, Some(paging));
                let page = reader.read(&answer.body, answer.content_type.as_deref());
                Ok(page.is_ok_and(|page| self::hashes(&page) != *hashes))
            }
            Some(Err(NoAnswer::Refused(..))) => Ok(true),
            Some(Err(NoAnswer::Failed(failure))) => Err(failure),
            Some(Err(NoAnswer::Late(_))) | None => Ok(false),
        }
    }

    /// Asks for the page to come.
    fn get(&self, pass: &mut Pass) -> Result<Got, Failure> {
        if pass.page > self.http.max_pages {
            let message = format!("{} has more than max_pages = {} pages", self.http.url, self.http.max_pages);
            let hint = "raise max_pages in [source], or fetch less at a time: incremental = { every = \"1d\", … }";
            return Err(Failure::new(Kind::Definition, message).hint(hint));
        }
        for look in 1.. {
            let answer = match self.answer(pass)? {
                Ok(answer) => answer,
                Err(NoAnswer::Late(wait)) => return Ok(Got::Late(wait)),
                // a cursor does not live for ever
                Err(NoAnswer::Refused(400 | 404 | 410 | 422, _)) if pass.asked == 0 && pass.next != Next::First => {
                    return Ok(Got::Void);
                }
                Err(NoAnswer::Refused(_, failure) | NoAnswer::Failed(failure)) => return Err(failure),
            };
            pass.bytes += answer.bytes;
            self.context.progress.advance(answer.bytes);
            match self.read_answer(pass, &answer)? {
                Ok((note, hashes)) => return Ok(Got::Page(Box::new(Came { note, body: answer.body, hashes }))),
                Err(wrong) if !wrong.may_heal || look == LOOKS => {
                    return Err(self.misshapen(pass, wrong.message, &answer.body));
                }
                Err(_) => pass.queue.clear(),
            }
        }
        Ok(Got::Void)
    }

    /// What an answer says of itself and of the page behind it.
    fn read_answer(&self, pass: &mut Pass, answer: &Answer) -> Result<Result<(Note, Vec<u128>), Wrong>, Failure> {
        let kind = answer.content_type.as_deref();
        if pass.walk.paging.is_none() {
            let page = match Reader::new(self.http, None).read(&answer.body, kind) {
                Ok(page) => page,
                Err(misshapen) => return Ok(Err(Wrong { message: misshapen.message, may_heal: misshapen.is_cut })),
            };
            let paging = found(self.http, &answer.body, page.records.len(), &answer.headers).map_err(|doubt| {
                let url = &self.http.url;
                let message = match doubt {
                    Doubt::Hints(hints) => format!(
                        "{url} does not say for certain how to get its next page; {} may be about it",
                        hints.join(", ")
                    ),
                    Doubt::Round(records) => {
                        format!("{url} gives {records} records, and does not say that these are all")
                    }
                };
                let hint = "give [source] a pagination; `{ kind = \"single\" }` if there is but one page";
                Failure::new(Kind::Definition, message).hint(hint)
            })?;
            tracing::info!(?paging, "how the API pages was found");
            pass.walk.paging = Some(paging);
        }
        let reader = Reader::new(self.http, pass.walk.paging.as_ref());
        let page = match reader.read(&answer.body, kind) {
            Ok(page) => page,
            Err(misshapen) => return Ok(Err(Wrong { message: misshapen.message, may_heal: misshapen.is_cut })),
        };
        let hashes = hashes(&page);
        let next = match pass.walk.after(&pass.next, &page, &answer.headers, content(&hashes)) {
            Ok(Some(Next::Url(url))) => Some(Next::Url(without_key(self.http, &url)?)),
            Ok(next) => next,
            Err(astray) => return Ok(Err(Wrong { message: astray.0, may_heal: true })),
        };
        let note = Note {
            definition: self.definition.to_owned(),
            range: pass.window.range,
            asked: pass.next.clone(),
            next,
            received: pass.walk.received,
            paging: pass.walk.paging.clone(),
            fetched_at: (self.context.clock)(),
        };
        Ok(Ok((note, hashes)))
    }

    /// The answer to what comes next, which may be here already; those behind it are asked for with it where they are known to be there.
    fn answer(&self, pass: &mut Pass) -> Result<Result<Answer, NoAnswer>, Failure> {
        match pass.queue.pop_front() {
            Some((next, answer)) if next == pass.next => return Ok(answer),
            _ => pass.queue.clear(),
        }
        let nexts = pass.walk.at_once(&pass.next, self.http.limits.concurrency);
        let requests = nexts
            .iter()
            .map(|next| request(self.http, pass.walk.paging.as_ref(), pass.window.range, next))
            .collect::<Result<Vec<_>, _>>()?;
        pass.queue.extend(nexts.into_iter().zip(self.client.send(&requests)));
        match pass.queue.pop_front() {
            Some((_, answer)) => Ok(answer),
            None => Err(Failure::new(Kind::Bug, "a request was never sent")),
        }
    }

    /// Lands a page. If another has landed it first, theirs is the page.
    fn put_down(&self, pass: &mut Pass, came: Came) -> Result<Came, Failure> {
        let Came { note, body, .. } = &came;
        if note.next.is_none() {
            pass.last = Some((pass.page, note.clone(), body.clone()));
            return Ok(came);
        }
        let theirs = pass.landing.land(self.context.lake, pass.page, pack(note, body)?)?;
        let is_answer = |their: &Note| {
            their.asked == note.asked && their.range == note.range && their.definition == note.definition
        };
        match theirs.and_then(|bytes| unpacked(&bytes)).filter(|(their, _)| is_answer(their)) {
            Some((note, body)) => {
                pass.queue.clear();
                let hashes = self.hashes(pass, &note, &body)?;
                Ok(Came { note, body, hashes })
            }
            None => Ok(came),
        }
    }

    /// An answer that is no page stays to be looked at.
    fn misshapen(&self, pass: &Pass, message: String, body: &str) -> Failure {
        let failure = Failure::new(Kind::Data, format!("page {} of {}: {message}", pass.page, self.http.url));
        let kept = zstd::encode_all(body.as_bytes(), 1).map_err(|error| error.to_string()).and_then(|body| {
            pass.landing.refuse(self.context.lake, pass.page, body.into()).map_err(|error| match error.hint() {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            })
        });
        match kept {
            Ok(key) => failure.hint(format!(
                "what came is in {key}; what came before it is kept, and the next run goes on behind it"
            )),
            Err(error) => failure.hint(format!("what came could not be kept: {error}")),
        }
    }
}

/// What is wrong with an answer.
struct Wrong {
    message: String,
    /// The next one may be better.
    may_heal: bool,
}

fn hashes(page: &Page<'_>) -> Vec<u128> {
    page.records.iter().map(hash_of).collect()
}

/// Stands for the records of a page in their order.
fn content(hashes: &[u128]) -> u128 {
    hash_of(hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect::<Vec<u8>>())
}

fn pack(note: &Note, body: &str) -> Result<Bytes, Failure> {
    packed(note, body).map_err(|error| Failure::new(Kind::Bug, "a page cannot be packed").because(error))
}
