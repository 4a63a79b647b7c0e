//! Tests of the observer with streams made by `mpeg2ts` or by hand.

mod build;
mod conformance;
mod faults;
mod packets;
mod reports;
mod start_points;
