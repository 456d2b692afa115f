//! Source `http`: an API that gives JSON in pages, and the step that writes its records to the raw dataset. It does not validate records.
//!
//! | file | purpose |
//! |---|---|
//! | `request` | the URL and body of a page, without credentials |
//! | `client`, `connection`, `retry` | sending requests: redirects, rate limits, retries |
//! | `credentials`, `token` | credentials of the source |
//! | `wire`, `origin`, `body` | TLS, allowed destinations, decompression of bodies |
//! | `attempt` | outcomes of sending a request |
//! | `page` | splits the body of an answer into records |
//! | `paging`, `links`, `discovery` | from one page to the next; detection of the pagination |
//! | `instant` | times in the format of an API |
//! | `preview` | a first request to an API without a definition |
//! | `landed` | a landed page and its metadata, as bytes |
//! | `fetch`, `window_pass`, `window` | the pages of a window, each landed before the next is requested |
//! | `accumulator` | writes records of pages to files |
//! | `resume`, `partial`, `receipt`, `reader` | reads a window, from its resume point, to files that are not committed yet |
//! | `step` | chooses the window, and commits |

mod accumulator;
mod attempt;
mod body;
mod client;
mod connection;
mod credentials;
mod discovery;
mod fetch;
mod instant;
mod landed;
mod links;
mod origin;
mod page;
mod paging;
mod partial;
mod preview;
mod reader;
mod receipt;
mod request;
mod resume;
mod retry;
mod shown;
pub(crate) mod step;
mod token;
mod window;
mod window_pass;
mod wire;

pub use preview::{Preview, preview};
