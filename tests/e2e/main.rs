//! End to end, over loopback, against separate processes and the test's own callers: one module per subject.

mod access;
mod beside;
mod bonded;
mod chain;
mod common;
mod events;
mod ffmpeg;
mod forged;
mod formats;
mod health;
mod hook;
mod hook_stall;
mod live_transmit;
mod modes;
mod package;
mod raw;
mod resend;
mod seed;
mod shutdown;
mod sources;
mod takeover;
mod tools;
mod ts;
mod viewers;
