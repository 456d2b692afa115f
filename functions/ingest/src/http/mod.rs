//! Source `http`: an API that gives JSON in pages, and the step that brings what it says into the raw dataset. It judges no record.
//!
//! | file | what |
//! |---|---|
//! | `request` | the URL and body of a page, without credentials |
//! | `client`, `connection`, `retry` | sending it: redirects, limits, and again what may succeed |
//! | `credentials`, `token` | who asks |
//! | `wire`, `origin`, `body` | whom it trusts, where it may go, and what comes, unpacked |
//! | `attempt` | what sending it came to |
//! | `page` | the text of an answer into records, or what is wrong with it |
//! | `paging`, `links`, `discovery` | from one page to the next; how an API pages, where nobody has said it |
//! | `instant` | times as an API takes them |
//! | `look` | a first look at an API that nobody has described |
//! | `landed` | a landed page and its metadata, as bytes |
//! | `fetch`, `pass`, `window` | the pages of a window, each put down before the next is asked for |
//! | `accumulator` | records of pages into rows on their way to files |
//! | `resume`, `partial`, `receipt`, `reader` | a window, from where it was left, into files that nothing names yet |
//! | `step` | which window that is, and the commit |

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
