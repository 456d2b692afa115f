//! Source `http`: an API that gives JSON in pages. It asks for a page, with patience, and says which comes next; it knows nothing of the
//! lake, and judges no record.
//!
//! | file | what |
//! |---|---|
//! | `request` | the URL and body of a page, without credentials |
//! | `client`, `retry`, `token` | sending it: credentials, limits, and again what may succeed |
//! | `wire`, `origin`, `body` | whom it trusts, where it may go, and what comes, unpacked |
//! | `page` | the text of an answer into records, or what is wrong with it |
//! | `paging` | from one page to the next; how an API pages, where nobody has said it |
//! | `instant` | times as an API takes them |
//! | `look` | a first look at an API that nobody has described |
//! | `landed` | a page with what is known of it, as bytes |

mod body;
pub(crate) mod client;
pub(crate) mod gather;
pub(crate) mod instant;
pub(crate) mod landed;
mod look;
mod origin;
pub(crate) mod page;
pub(crate) mod paging;
pub(crate) mod request;
mod retry;
pub(crate) mod step;
mod token;
mod window;
mod wire;

pub use look::{Look, look};
