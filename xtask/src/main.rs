//! Repository tasks: `cargo xtask --help`.
fn main() {}
