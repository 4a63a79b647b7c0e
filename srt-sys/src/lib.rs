//! Raw bindings to libsrt.
