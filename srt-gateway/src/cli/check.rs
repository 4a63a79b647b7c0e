//! `check`: reads a configuration file and says all that is wrong with it.

use std::{path::Path, process::ExitCode};

use super::{counted, load, say};

pub(super) fn check(file: &Path) -> ExitCode {
    match load(Some(file)) {
        Ok(config) => {
            let ports = config.srt_ports().count();
            say(format_args!(
                "{}: valid: {}, {}",
                file.display(),
                counted(ports, "port"),
                counted(config.streams.len(), "stream")
            ));
            for warning in config.warnings() {
                say(format_args!("{}: warning: {warning}", file.display()));
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}
