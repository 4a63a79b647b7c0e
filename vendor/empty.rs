//! Cargo wants a target; this package has none: it only pins the source of libsrt (see README.md).
