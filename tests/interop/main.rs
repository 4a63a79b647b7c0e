//! The gateway, as a separate process, with common clients: a table of the combinations that must work, and one harness
//! that tests them.
//!
//! `cargo xtask test` runs a choice of rows that contains every pair of properties; `cargo xtask interop` runs all of
//! them. `docs/interop.md` is generated from the table.

mod clients;
mod commands;
mod cover;
mod docs;
mod gosrt;
mod judge;
mod rows;
mod run;
mod url;

use rows::Row;
use std::env;
use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Rows that run at the same time. They mostly wait: for clients to start, and for the stream, which is sent in real
/// time.
const AT_ONCE: usize = 4;

/// The rows to run: all of them, those whose name contains a text, or the choice for daily runs.
fn chosen() -> Vec<Row> {
    match env::var("SRT_INTEROP").as_deref() {
        Ok("all") => rows::all(),
        Ok(part) => rows::all()
            .into_iter()
            .filter(|row| row.to_string().contains(part))
            .collect(),
        Err(_) => cover::pairs(&rows::all()),
    }
}

/// One test at a time: each runs many clients.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs all of `items`, several at a time.
///
/// # Panics
/// If some fail, with their names.
fn try_all<T: Display + Sync>(items: &[T], attempt: impl Fn(&T) + Sync) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let result = panic::catch_unwind(AssertUnwindSafe(|| attempt(item)));
                    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
                    eprintln!("{verdict} {item} ({:.1} s)", start.elapsed().as_secs_f64());
                    if result.is_err() {
                        failed.lock().unwrap().push(item.to_string());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {} failed:\n  {}",
        failed.len(),
        items.len(),
        failed.join("\n  ")
    );
}

#[test]
fn clients_work_with_the_gateway() {
    let rows = chosen();
    assert!(!rows.is_empty(), "no row is named so");
    clients::require(&rows);
    try_all(&rows, run::run);
}

#[test]
fn documented_lines_work_as_they_stand() {
    clients::require(&rows::all());
    let lines = commands::documented();
    assert!(lines.len() > 40, "only {} lines found", lines.len());
    try_all(&lines, commands::run);
}
