//! An HTTP API in this process for tests of the source `http`: pagination of every kind, time filters, authentication, and faults on
//! request. A second one is a second origin.

mod faults;
mod page;
mod records;
mod self_test;
mod server;

pub use faults::{Befell, Fault, Rule, When};
pub use page::{Form, Paging, Style, Total};
pub use records::{Bound, Fields, Filter, Time};
pub use server::{Api, Auth, Encoding};
