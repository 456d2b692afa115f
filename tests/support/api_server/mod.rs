//! A real HTTP API in this process, as the source `http` meets them: it gives its records in pages of every kind, by time, to those who may,
//! and can be told to fail. Another one beside it is another origin.

mod faults;
mod page;
mod records;
mod self_test;
mod server;

pub use faults::{Befell, Fault, Rule, When};
pub use page::{Form, Paging, Style, Total};
pub use records::{Bound, Fields, Filter, Time};
pub use server::{Api, Auth, Encoding};
