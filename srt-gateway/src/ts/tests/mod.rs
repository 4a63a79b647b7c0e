//! Tests of the observer on streams made by `mpeg2ts` and, where that cannot write them, by hand.

mod build;
mod conformance;
mod faults;
mod packets;
mod reports;
mod start_points;
