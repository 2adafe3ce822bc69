//! Tests of the whole.

mod docs;
