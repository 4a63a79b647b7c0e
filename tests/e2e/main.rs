//! End to end, over loopback, against separate processes: one module per subject.

mod tools;
