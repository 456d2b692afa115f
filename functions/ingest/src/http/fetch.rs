//! Gets the next page of a window: from the landing, or else from the API. Each page is landed before the next is requested.

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

/// How often a page is requested if the answer is truncated or inconsistent: an API under load may give a valid one later.
const MAX_ATTEMPTS: u32 = 3;
/// Pages identified only by position may have shifted after this time: the last landed page is then requested again and compared before
/// resuming.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// A page that has been fetched or read from the landing.
pub(crate) struct FetchedPage {
    pub note: PageMetadata,
    pub page: Page,
    /// Whether it is in the landing. The last page of a window lands only with the commit.
    pub has_landed: bool,
}

/// The outcome of fetching a page.
pub(crate) enum FetchOutcome {
    Page(Box<FetchedPage>),
    /// The wait before the request would go beyond the deadline.
    Late(Duration),
    /// The landed pages before it are not usable any more.
    Invalidated,
}

/// Gets the pages of one source.
pub(crate) struct PageFetcher<'a> {
    pub context: &'a Context<'a>,
    pub http: &'a Http,
    /// Fingerprint of the settings that decide what is requested.
    pub definition: &'a str,
    pub run_id: &'a str,
    pub client: &'a Client<'a>,
}

/// Why an answer is rejected.
struct PageError {
    body: String,
    message: String,
    /// Whether the same request may give a valid answer later.
    may_heal: bool,
}

impl From<MalformedPage> for PageError {
    fn from(MalformedPage { body, message, is_cut }: MalformedPage) -> PageError {
        PageError { body, message, may_heal: is_cut }
    }
}

impl PageFetcher<'_> {
    /// The next page from the landing, if it is there and is the answer to the request that would be sent.
    pub(crate) fn landed(&self, pass: &WindowPass) -> Result<Option<(PageMetadata, String)>, Error> {
        let Some(bytes) = pass.landing.page(self.context.lake, pass.page)? else { return Ok(None) };
        // the first page determines the time range; later ones may be from another run with another range
        let is_ours = |note: &PageMetadata| pass.page == 1 || note.range == pass.window.range;
        Ok(unpacked(&bytes).filter(|(note, _)| note.asked == pass.next && is_ours(note)))
    }

    /// Reads the records of a landed page.
    pub(crate) fn adopt(&self, pass: &mut WindowPass, note: PageMetadata, body: String) -> Result<FetchedPage, Error> {
        pass.paginator.paging = pass.paginator.paging.take().or(note.paging.clone());
        let reader = PageReader::new(self.http, pass.paginator.paging.as_ref());
        let page = reader
            .read(body, None)
            .map_err(|MalformedPage { body, message, .. }| self.malformed(pass, message, &body))?;
        Ok(FetchedPage { note, page, has_landed: true })
    }

    /// When resuming a window whose pages are identified only by position: reads the landed page before the resume point, to compare it later.
    pub(crate) fn load_previous_page(&self, pass: &mut WindowPass) -> Result<(), Error> {
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

    /// Whether the last landed page has changed on the API since.
    pub(crate) fn has_moved(&self, pass: &WindowPass) -> Result<bool, Error> {
        let (Some(paging), Some(before)) = (&pass.paginator.paging, &pass.before) else { return Ok(false) };
        let age = (self.context.clock)().duration_since(before.fetched_at);
        if !is_by_place(paging) || age < RECHECK_AFTER {
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
            Some(Err(NoAnswer::Failed(error))) => Err(error),
            Some(Err(NoAnswer::Late(_))) | None => Ok(false),
        }
    }

    /// Requests the next page, and lands it.
    pub(crate) fn fetch(&self, pass: &mut WindowPass) -> Result<FetchOutcome, Error> {
        if pass.page > self.http.max_pages {
            let message = format!("{} has more than max_pages = {} pages", self.http.url, self.http.max_pages);
            let hint = "raise max_pages in [source], or request less at a time: incremental = { every = \"1d\", … }";
            return Err(Error::new(ErrorKind::Definition, message).hint(hint));
        }
        for attempt in 1.. {
            let answer = match self.answer(pass)? {
                Ok(answer) => answer,
                Err(NoAnswer::Late(wait)) => return Ok(FetchOutcome::Late(wait)),
                // the cursor of an earlier run may have expired
                Err(NoAnswer::Refused(400 | 404 | 410 | 422, _)) if pass.asked == 0 && pass.next != Next::First => {
                    return Ok(FetchOutcome::Invalidated);
                }
                Err(NoAnswer::Refused(_, error) | NoAnswer::Failed(error)) => return Err(error),
            };
            pass.bytes += answer.bytes;
            self.context.progress.advance(answer.bytes);
            match self.read_answer(pass, answer)? {
                Ok((note, page)) => return Ok(FetchOutcome::Page(Box::new(self.land(pass, note, page)?))),
                Err(error) if !error.may_heal || attempt == MAX_ATTEMPTS => {
                    return Err(self.malformed(pass, error.message, &error.body));
                }
                Err(_) => pass.queue.clear(),
            }
        }
        Ok(FetchOutcome::Invalidated)
    }

    /// Reads an answer into a page, and determines the next page.
    fn read_answer(
        &self,
        pass: &mut WindowPass,
        answer: Answer,
    ) -> Result<Result<(PageMetadata, Page), PageError>, Error> {
        let Answer { body, content_type, headers, .. } = answer;
        let reader = PageReader::new(self.http, pass.paginator.paging.as_ref());
        let mut page = match reader.read(body, content_type.as_deref()) {
            Ok(page) => page,
            Err(malformed) => return Ok(Err(malformed.into())),
        };
        if pass.paginator.paging.is_none() {
            let Discovered { pagination, paging_value } =
                discover(self.http, &page, &headers).map_err(|ambiguity| self.ambiguous(ambiguity))?;
            tracing::info!(?pagination, "pagination was detected");
            (page.paging_value, pass.paginator.paging) = (paging_value, Some(pagination));
        }
        let next = match pass.paginator.after(&pass.next, &page, &headers) {
            Ok(Some(Next::Url(url))) => Some(Next::Url(without_key(self.http, &url)?)),
            Ok(next) => next,
            Err(error) => {
                return Ok(Err(PageError { body: page.into_body(), message: error.0, may_heal: true }));
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

    fn ambiguous(&self, ambiguity: Ambiguity) -> Error {
        let url = &self.http.url;
        let message = match ambiguity {
            Ambiguity::Hints(hints) => {
                let hints = hints.join(", ");
                format!("the pagination of {url} is ambiguous; {hints} may be part of it")
            }
            Ambiguity::Round(records) => {
                format!("{url} returned {records} records, and there may be more on further pages")
            }
        };
        let hint = "set `pagination` in [source]; `{ kind = \"single\" }` if there is only one page";
        Error::new(ErrorKind::Definition, message).hint(hint)
    }

    /// The answer to the next request. It may be queued already; if the pages after it are known to exist, they are requested concurrently.
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

    /// Lands a page, unless it is the last. If another run has landed it first, that page is used.
    fn land(&self, pass: &mut WindowPass, note: PageMetadata, page: Page) -> Result<FetchedPage, Error> {
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

    /// Keeps an invalid answer in the landing for inspection, and returns the error.
    fn malformed(&self, pass: &WindowPass, message: String, body: &str) -> Error {
        let malformed = Error::new(ErrorKind::Data, format!("page {} of {}: {message}", pass.page, self.http.url));
        let kept = zstd::encode_all(body.as_bytes(), 1).map_err(|error| error.to_string()).and_then(|body| {
            pass.landing.refuse(self.context.lake, pass.page, body.into()).map_err(|error| match error.hint() {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            })
        });
        match kept {
            Ok(key) => malformed.hint(format!(
                "the response is in {key}; the pages before it are kept, and the next run continues after them"
            )),
            Err(error) => malformed.hint(format!("the response could not be stored: {error}")),
        }
    }
}
