//! `check`: reads a configuration file and reports every error and what looks unwise on this machine.

use std::{path::Path, process::ExitCode};

use super::{counted, load, say};
use crate::{config::EndpointWarning, file_check::file_warnings, interface_check::interface_warnings};

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
            // This may take as long as the file system does: nothing waits for this command.
            let files = file_warnings(&config);
            let files = files.iter().map(EndpointWarning::placed);
            let interfaces = interface_warnings(&config);
            for warning in config.warnings().into_iter().chain(files).chain(interfaces) {
                say(format_args!("{}: warning: {warning}", file.display()));
            }
            for hint in config.hints() {
                say(format_args!("{}: hint: {hint}", file.display()));
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}
