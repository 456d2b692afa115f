//! The shape of the source: who imports whom, and the words it uses.

mod circles;
mod imports;
mod words;
