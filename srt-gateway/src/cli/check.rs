//! `check`: reads a configuration file and reports every error and what looks unwise on this machine.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{counted, load, say};
use crate::{
    config::{Config, Endpoint, FileTarget, Target},
    io::special_kind,
};

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
            for warning in config.warnings().into_iter().chain(file_warnings(&config)) {
                say(format_args!("{}: warning: {warning}", file.display()));
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Looks at the files of inputs and outputs, which only a command may do: they may hang.
fn file_warnings(config: &Config) -> Vec<String> {
    let mut written: HashSet<&PathBuf> = HashSet::new();
    let mut warnings = Vec::new();
    for (name, stream) in &config.streams {
        for (key, endpoints) in [("inputs", &stream.inputs), ("outputs", &stream.outputs)] {
            for (at, file) in files(endpoints) {
                let twice = key == "outputs" && !written.insert(&file.path);
                let told = match twice {
                    true => {
                        Some("another output writes to it as well: their packets would be mixed".to_owned())
                    }
                    false if key == "inputs" => input_warning(file),
                    false => output_warning(file),
                };
                let place = format!("streams.{name}.{key}[{at}]: {}", file.path.display());
                warnings.extend(told.map(|told| format!("{place}: {told}")));
            }
        }
    }
    warnings
}

/// Those that are used, with their places in the list.
fn files(endpoints: &[Endpoint]) -> impl Iterator<Item = (usize, &FileTarget)> {
    let used = endpoints
        .iter()
        .enumerate()
        .filter(|(_, endpoint)| endpoint.enabled);
    used.filter_map(|(at, endpoint)| match &endpoint.target {
        Target::File(file) => Some((at, file)),
        _ => None,
    })
}

fn input_warning(file: &FileTarget) -> Option<String> {
    match fs::metadata(&file.path) {
        Err(error) => Some(error.to_string()),
        Ok(metadata) if metadata.is_file() => (metadata.len() == 0).then(|| "the file is empty".to_owned()),
        Ok(metadata) => special_warning(file, &metadata),
    }
}

fn output_warning(file: &FileTarget) -> Option<String> {
    match fs::metadata(&file.path) {
        Ok(metadata) => special_warning(file, &metadata),
        Err(_) => {
            let folder = file.path.parent()?;
            (!folder.is_dir() && !folder.to_string_lossy().contains(['%', '$'])).then(|| {
                "its folder does not exist: the gateway creates it when the output starts".to_owned()
            })
        }
    }
}

fn special_warning(file: &FileTarget, metadata: &fs::Metadata) -> Option<String> {
    let kind = special_kind(metadata.file_type())?;
    let never = matches!(kind, "a folder" | "a socket");
    match file.special {
        true if !never => None,
        _ if never => Some(format!("it is {kind}: it cannot be opened")),
        _ => Some(format!(
            "it is {kind}: it is not opened without special=true in the URL"
        )),
    }
}
