//! The page to come of a window: what has landed, or what the API answers; put down before the next is asked for.

use std::time::Duration;

use jiff::SignedDuration;
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_pipeline::http::Http;

use super::attempt::{Answer, NoAnswer};
use super::client::Client;
use super::discovery::{Ambiguity, Discovered, discover};
use super::landed::{PageMetadata, unpacked};
use super::page::{MalformedPage, Page, PageReader};
use super::paging::is_by_place;
use super::request::{Next, request, without_key};
use super::window_pass::{LandedPage, WindowPass, pack};

/// How often an answer is asked for that is cut, or out of order: an API under load may give a better one.
const LOOKS: u32 = 3;
/// After this long, pages that are told apart by their place may have moved: the last one is asked for again before going on.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

/// A page that is in.
pub(crate) struct FetchedPage {
    pub note: PageMetadata,
    pub page: Page,
    /// It is in the landing; the last page of a window is not before the commit.
    pub has_landed: bool,
}

/// What an attempt to get a page came to.
pub(crate) enum FetchOutcome {
    Page(Box<FetchedPage>),
    /// It is to be waited for longer than there is time.
    Late(Duration),
    /// What has landed before it is of no use.
    Invalidated,
}

/// Gets the pages of one source.
pub(crate) struct PageFetcher<'a> {
    pub context: &'a Context<'a>,
    pub http: &'a Http,
    /// Stands for what decides what is asked for.
    pub definition: &'a str,
    pub run_id: &'a str,
    pub client: &'a Client<'a>,
}

/// What is wrong with an answer.
struct PageError {
    body: String,
    message: String,
    /// The next one may be better.
    may_heal: bool,
}

impl From<MalformedPage> for PageError {
    fn from(MalformedPage { body, message, is_cut }: MalformedPage) -> PageError {
        PageError { body, message, may_heal: is_cut }
    }
}

impl PageFetcher<'_> {
    /// The page to come, if it has landed, as the answer to what would be asked.
    pub(crate) fn landed(&self, pass: &WindowPass) -> Result<Option<(PageMetadata, String)>, Error> {
        let Some(bytes) = pass.landing.page(self.context.lake, pass.page)? else { return Ok(None) };
        // the first says what window it is; those behind it may be of another run, for another time
        let is_ours = |note: &PageMetadata| pass.page == 1 || note.range == pass.window.range;
        Ok(unpacked(&bytes).filter(|(note, _)| note.asked == pass.next && is_ours(note)))
    }

    /// The records of a page that has landed.
    pub(crate) fn adopt(&self, pass: &mut WindowPass, note: PageMetadata, body: String) -> Result<FetchedPage, Error> {
        pass.paginator.paging = pass.paginator.paging.take().or(note.paging.clone());
        let reader = PageReader::new(self.http, pass.paginator.paging.as_ref());
        let page = reader
            .read(body, None)
            .map_err(|MalformedPage { body, message, .. }| self.misshapen(pass, message, &body))?;
        Ok(FetchedPage { note, page, has_landed: true })
    }

    /// Where a window is gone on with, and pages are told apart by their place: the page before, which an earlier commit has brought.
    pub(crate) fn look_back(&self, pass: &mut WindowPass) -> Result<(), Error> {
        if pass.before.is_some() || pass.page == 1 || !pass.paginator.paging.as_ref().is_some_and(is_by_place) {
            return Ok(());
        }
        let landed = pass.landing.page(self.context.lake, pass.page - 1)?;
        if let Some((note, body)) = landed.and_then(|bytes| unpacked(&bytes)) {
            let FetchedPage { note, page, .. } = self.adopt(pass, note, body)?;
            let content = page.content;
            pass.before = Some(LandedPage { asked: note.asked, fetched_at: note.fetched_at, content });
        }
        Ok(())
    }

    /// Whether the last page that had landed is another one now.
    pub(crate) fn has_moved(&self, pass: &WindowPass) -> Result<bool, Error> {
        let (Some(paging), Some(before)) = (&pass.paginator.paging, &pass.before) else { return Ok(false) };
        let age = (self.context.clock)().duration_since(before.fetched_at);
        if !is_by_place(paging) || age < SETTLED {
            return Ok(false);
        }
        let again = request(self.http, Some(paging), pass.window.range, &before.asked)?;
        match self.client.send(&[again]).pop() {
            Some(Ok(answer)) => {
                let reader = PageReader::new(self.http, Some(paging));
                let page = reader.read(answer.body, answer.content_type.as_deref());
                Ok(page.is_ok_and(|page| page.content != before.content))
            }
            Some(Err(NoAnswer::Refused(..))) => Ok(true),
            Some(Err(NoAnswer::Failed(failure))) => Err(failure),
            Some(Err(NoAnswer::Late(_))) | None => Ok(false),
        }
    }

    /// Asks for the page to come, and lands it.
    pub(crate) fn fetch(&self, pass: &mut WindowPass) -> Result<FetchOutcome, Error> {
        if pass.page > self.http.max_pages {
            let message = format!("{} has more than max_pages = {} pages", self.http.url, self.http.max_pages);
            let hint = "raise max_pages in [source], or fetch less at a time: incremental = { every = \"1d\", … }";
            return Err(Error::new(ErrorKind::Definition, message).hint(hint));
        }
        for look in 1.. {
            let answer = match self.answer(pass)? {
                Ok(answer) => answer,
                Err(NoAnswer::Late(wait)) => return Ok(FetchOutcome::Late(wait)),
                // a cursor does not live for ever
                Err(NoAnswer::Refused(400 | 404 | 410 | 422, _)) if pass.asked == 0 && pass.next != Next::First => {
                    return Ok(FetchOutcome::Invalidated);
                }
                Err(NoAnswer::Refused(_, failure) | NoAnswer::Failed(failure)) => return Err(failure),
            };
            pass.bytes += answer.bytes;
            self.context.progress.advance(answer.bytes);
            match self.read_answer(pass, answer)? {
                Ok((note, page)) => return Ok(FetchOutcome::Page(Box::new(self.put_down(pass, note, page)?))),
                Err(wrong) if !wrong.may_heal || look == LOOKS => {
                    return Err(self.misshapen(pass, wrong.message, &wrong.body));
                }
                Err(_) => pass.queue.clear(),
            }
        }
        Ok(FetchOutcome::Invalidated)
    }

    /// What an answer says of itself and of the page behind it.
    fn read_answer(
        &self,
        pass: &mut WindowPass,
        answer: Answer,
    ) -> Result<Result<(PageMetadata, Page), PageError>, Error> {
        let Answer { body, content_type, headers, .. } = answer;
        let reader = PageReader::new(self.http, pass.paginator.paging.as_ref());
        let mut page = match reader.read(body, content_type.as_deref()) {
            Ok(page) => page,
            Err(misshapen) => return Ok(Err(misshapen.into())),
        };
        if pass.paginator.paging.is_none() {
            let Discovered { pagination, said } =
                discover(self.http, &page, &headers).map_err(|doubt| self.doubtful(doubt))?;
            tracing::info!(?pagination, "how the API pages was found");
            (page.said, pass.paginator.paging) = (said, Some(pagination));
        }
        let next = match pass.paginator.after(&pass.next, &page, &headers) {
            Ok(Some(Next::Url(url))) => Some(Next::Url(without_key(self.http, &url)?)),
            Ok(next) => next,
            Err(astray) => {
                return Ok(Err(PageError { body: page.into_body(), message: astray.0, may_heal: true }));
            }
        };
        let note = PageMetadata {
            definition: self.definition.to_owned(),
            range: pass.window.range,
            asked: pass.next.clone(),
            next,
            received: pass.paginator.received,
            paging: pass.paginator.paging.clone(),
            fetched_at: (self.context.clock)(),
            run_id: Some(self.run_id.to_owned()),
        };
        Ok(Ok((note, page)))
    }

    fn doubtful(&self, doubt: Ambiguity) -> Error {
        let url = &self.http.url;
        let message = match doubt {
            Ambiguity::Hints(hints) => {
                let hints = hints.join(", ");
                format!("{url} does not say for certain how to get its next page; {hints} may be about it")
            }
            Ambiguity::Round(records) => {
                format!("{url} gives {records} records, and does not say that these are all")
            }
        };
        let hint = "give [source] a pagination; `{ kind = \"single\" }` if there is but one page";
        Error::new(ErrorKind::Definition, message).hint(hint)
    }

    /// The answer to what comes next, which may be here already; those behind it are asked for with it where they are known to be there.
    fn answer(&self, pass: &mut WindowPass) -> Result<Result<Answer, NoAnswer>, Error> {
        match pass.queue.pop_front() {
            Some((next, answer)) if next == pass.next => return Ok(answer),
            _ => pass.queue.clear(),
        }
        let nexts = pass.paginator.at_once(&pass.next, self.http.limits.concurrency);
        let requests = nexts
            .iter()
            .map(|next| request(self.http, pass.paginator.paging.as_ref(), pass.window.range, next))
            .collect::<Result<Vec<_>, _>>()?;
        pass.queue.extend(nexts.into_iter().zip(self.client.send(&requests)));
        match pass.queue.pop_front() {
            Some((_, answer)) => Ok(answer),
            None => Err(Error::new(ErrorKind::Bug, "a request was never sent")),
        }
    }

    /// Lands a page, unless it is the last. If another has landed it first, theirs is the page.
    fn put_down(&self, pass: &mut WindowPass, note: PageMetadata, page: Page) -> Result<FetchedPage, Error> {
        if note.next.is_none() {
            return Ok(FetchedPage { note, page, has_landed: false });
        }
        let theirs = pass.landing.land(self.context.lake, pass.page, pack(&note, page.body())?)?;
        let is_answer = |their: &PageMetadata| {
            their.asked == note.asked && their.range == note.range && their.definition == note.definition
        };
        match theirs.and_then(|bytes| unpacked(&bytes)).filter(|(their, _)| is_answer(their)) {
            Some((note, body)) => {
                pass.queue.clear();
                self.adopt(pass, note, body)
            }
            None => Ok(FetchedPage { note, page, has_landed: true }),
        }
    }

    /// An answer that is no page stays to be looked at.
    fn misshapen(&self, pass: &WindowPass, message: String, body: &str) -> Error {
        let failure = Error::new(ErrorKind::Data, format!("page {} of {}: {message}", pass.page, self.http.url));
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
