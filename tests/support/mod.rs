//! The parts of the test library, one file or folder each.

pub mod gateway;
pub mod impair;
pub mod pace;
pub mod peers;
pub mod ports;
pub mod rng;
pub mod source;
pub mod wait;
