//! Checks the files of inputs and outputs before they are opened. A file may hang forever, so only threads without
//! other work may do this without a time limit.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    thread,
    time::Duration,
};

use crate::{
    config::{Config, EndpointWarning, FileTarget, Target},
    io::special_kind,
    names::Role,
};

/// Probable mistakes in the files of inputs and outputs. Blocks as long as the file system does.
pub(crate) fn file_warnings(config: &Config) -> Vec<EndpointWarning> {
    let mut warnings = Vec::new();
    for (name, stream) in &config.streams {
        for (role, list) in [(Role::Publisher, &stream.inputs), (Role::Viewer, &stream.outputs)] {
            for (at, endpoint) in list.iter().enumerate() {
                let Target::File(file) = &endpoint.target else {
                    continue;
                };
                let told = match role {
                    _ if !endpoint.enabled => None,
                    Role::Publisher => input_warning(file),
                    Role::Viewer => output_warning(file),
                };
                warnings.extend(told.map(|told| EndpointWarning {
                    stream: name.clone(),
                    role,
                    at,
                    text: format!("{}: {told}", file.path.display()),
                }));
            }
        }
    }
    warnings
}

/// The same with a time limit; empty if it takes longer, or an earlier check has not returned.
pub(crate) fn file_warnings_within(config: &Config, limit: Duration) -> Vec<EndpointWarning> {
    static LOOKS: AtomicBool = AtomicBool::new(false);
    let streams = config.streams.values();
    let mut endpoints = streams.flat_map(|stream| stream.inputs.iter().chain(&stream.outputs));
    let has_files = endpoints.any(|endpoint| matches!(endpoint.target, Target::File(_)));
    if !has_files || LOOKS.swap(true, AcqRel) {
        return Vec::new();
    }
    let (reply, answer) = crossbeam_channel::bounded(1);
    let config = config.clone();
    let look = thread::Builder::new()
        .name("file-check".to_owned())
        .spawn(move || {
            let found = file_warnings(&config);
            LOOKS.store(false, Release);
            drop(reply.send(found));
        });
    if look.is_err() {
        LOOKS.store(false, Release);
    }
    answer.recv_timeout(limit).unwrap_or_default()
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
            let folder = file.path.parent().map(Path::to_string_lossy)?;
            let is_missing = !Path::new(&*folder).is_dir() && !folder.contains(['%', '$']);
            is_missing.then(|| {
                "the folder does not exist: the gateway creates it when the output starts".to_owned()
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
        _ => Some(format!("it is {kind}: set special=true in the URL to open it")),
    }
}
