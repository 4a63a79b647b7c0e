//! Safe API of libsrt.
