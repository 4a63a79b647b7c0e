//! The parts of the test library, one file or folder each.

pub mod client;
pub mod gateway;
pub mod http;
pub mod impair;
pub mod in_process;
pub mod innocent;
pub mod namespace;
pub mod pace;
pub mod peers;
pub mod ports;
pub mod raw;
pub mod rng;
pub mod source;
pub mod wait;
