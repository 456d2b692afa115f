//! What an earlier version or an earlier definition left is continued.

mod changed_definition;
mod fixture;
