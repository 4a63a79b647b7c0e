//! `cargo xtask test`: all tests of the workspace, the end-to-end ones last.

use crate::bench;
use crate::cargo::{integration_tests, tests, workspace};
use crate::checked::{asan_edits, tsan_edits};
use crate::install::{CHROMIUM, Install, NODE, NPM, PROMETHEUS, ensure, from_pypi};
use crate::interop;
use crate::package;
use crate::soak;
use crate::steps::{Steps, run};
use crate::web;
use anyhow::Result;
use std::time::Duration;

/// The time that one test program may take: several times what the slowest takes on two cores.
const TEST_PROGRAM_LIMIT: Duration = Duration::from_secs(10 * 60);
/// The same for the end-to-end tests.
const END_TO_END_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Runs all tests. On success the last line printed is cargo's summary of the end-to-end tests.
pub(crate) fn all(install: Install) -> Result<()> {
    let needs = [&interop::NEEDS[..], &[NODE, NPM, CHROMIUM, PROMETHEUS]].concat();
    ensure(&needs, install)?;
    from_pypi(install)?;
    interop::rust_peers()?;
    let mut steps = Steps::new();
    // First, so that the gateway built next contains the console.
    steps.run("the console's types, unit tests and bundle", web::build);
    // The end-to-end tests run the gateway's binary, which cargo builds for no test of another package.
    run(workspace("build").args(["--bins", "--examples", "--tests"]))?;
    // The end-to-end tests install it.
    steps.run("Debian package", || {
        package::debian(package::Build::Debug, install)
    });
    steps.run("unit and integration tests", || {
        let mut command = tests(TEST_PROGRAM_LIMIT);
        command.args(["--no-fail-fast", "--lib", "--bins"]);
        for test in integration_tests()? {
            command.args(["--test", &test]);
        }
        run(&mut command)
    });
    steps.run("clients of other projects", interop::short);
    steps.run("documentation tests", || {
        run(tests(TEST_PROGRAM_LIMIT).args(["--no-fail-fast", "--doc"]))
    });
    steps.run("tests of libsrt's edits under AddressSanitizer", asan_edits);
    steps.run("tests of libsrt's edits under ThreadSanitizer", tsan_edits);
    steps.run("cost against the floor", bench::short);
    steps.run("soak, short form", soak::short);
    steps.run("the console in a browser", web::in_a_browser);
    // Not a step of the list, because a step ends with a line of its own, and the summary should be the last line.
    eprintln!("\n=== end-to-end tests");
    let last = run(tests(END_TO_END_LIMIT).args(["--test", "e2e"]));
    if last.is_err() {
        steps.run("end-to-end tests", || last);
    }
    steps.finish()
}
