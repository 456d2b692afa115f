//! An HTTP API in this process for tests of the source `http`: pagination of every kind, time filters, authentication, and faults on
//! request. A second one is a second origin.

mod own;
mod page;
mod records;
mod server;
mod trouble;

pub use page::{Form, Paging, Style, Total};
pub use records::{Bound, Fields, Filter, Time};
pub use server::{Api, Auth, Encoding};
pub use trouble::{Befell, Fault, Rule, When};
