//! What definitions may not do that others than the operator have written: those of the API and of `[config_external]`.
//!
//! The configuration file may name any file and any port: whoever writes it runs the gateway. Whoever has the API only is
//! kept to the folders that `[api]` names, and to ports that need no privilege. Pure; `io` holds a file to its folder when it
//! is opened.

use std::path::{Component, Path, PathBuf};

use super::{
    endpoint::{Endpoint, SrtMode, Target},
    fault::Fault,
    model::{Config, Stream},
    reader::{Session, join},
};

/// Ports below it are those of the system's own services.
const UNPRIVILEGED: u16 = 1024;

/// The entries of a list from this place on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entries {
    Inputs(usize),
    Outputs(usize),
}

impl Config {
    /// Confines a whole stream. Gives what it may not do.
    pub(crate) fn confine_stream(&mut self, name: &str) -> Vec<Fault> {
        let folders = &self.api.file_folders;
        let Some(stream) = self.streams.get_mut(name) else {
            return Vec::new();
        };
        let path = join("streams", name);
        let mut faults = confine_ports(stream, &path);
        faults.extend(confine_entries(stream, Entries::Inputs(0), folders, &path));
        faults.extend(confine_entries(stream, Entries::Outputs(0), folders, &path));
        faults
    }

    /// Confines what was added to a stream. Gives what it may not do.
    pub(crate) fn confine_added(&mut self, name: &str, entries: Entries) -> Vec<Fault> {
        let folders = &self.api.file_folders;
        match self.streams.get_mut(name) {
            Some(stream) => confine_entries(stream, entries, folders, &join("streams", name)),
            None => Vec::new(),
        }
    }
}

fn fault(key: String, message: &str) -> Fault {
    // It stands in no text.
    Fault::new(key, Session::new("").location(0..0), message)
}

fn confine_ports(stream: &Stream, path: &str) -> Vec<Fault> {
    let ports = stream.ports.iter();
    let privileged = ports.filter(|port| is_privileged(port.listen.port()));
    privileged
        .map(|port| fault(join(path, port.kind.key()), PRIVILEGED))
        .collect()
}

const PRIVILEGED: &str = "must not open a port below 1024: only the configuration file may";

fn is_privileged(port: u16) -> bool {
    port != 0 && port < UNPRIVILEGED
}

/// Confines entries of a stream's lists.
pub(super) fn confine_entries(
    stream: &mut Stream,
    entries: Entries,
    folders: &[PathBuf],
    path: &str,
) -> Vec<Fault> {
    let (key, from, list) = match entries {
        Entries::Inputs(from) => ("inputs", from, &mut stream.inputs),
        Entries::Outputs(from) => ("outputs", from, &mut stream.outputs),
    };
    let mut faults = Vec::new();
    for (at, endpoint) in list.iter_mut().enumerate().skip(from) {
        let key = format!("{}[{at}]", join(path, key));
        if let Some(port) = own_port(endpoint, entries)
            && is_privileged(port)
        {
            faults.push(fault(key.clone(), PRIVILEGED));
        }
        if let Target::File(file) = &mut endpoint.target {
            match folder_of(&file.path, folders) {
                Some(folder) => file.folder = Some(folder.to_owned()),
                None if folders.is_empty() => faults.push(
                    fault(key, "is a file, and file_folders of [api] names no folder for files")
                        .help("set file_folders = [\"/var/lib/srt-gateway/files\"] in [api], or write the entry into the configuration file"),
                ),
                None => faults.push(
                    fault(key, "is not a file in one of the folders that file_folders of [api] names")
                        .help("use a path below one of them, without \"..\", or write the entry into the configuration file"),
                ),
            }
        }
    }
    faults
}

/// The port of this machine that an endpoint binds.
fn own_port(endpoint: &Endpoint, entries: Entries) -> Option<u16> {
    match (&endpoint.target, entries) {
        (Target::Srt(srt), _) => match srt.mode {
            SrtMode::Caller => srt.local_port,
            SrtMode::Listener => Some(srt.port),
            SrtMode::Rendezvous => srt.local_port.or(Some(srt.port)),
        },
        (Target::Udp(udp) | Target::Rtp(udp), Entries::Inputs(_)) => Some(udp.port),
        _ => None,
    }
}

/// The folder that a path is below, going by its text.
fn folder_of<'f>(path: &Path, folders: &'f [PathBuf]) -> Option<&'f Path> {
    let is_below = |folder: &&PathBuf| {
        path.strip_prefix(folder).is_ok_and(|rest| {
            let mut components = rest.components().peekable();
            components.peek().is_some() && components.all(|part| matches!(part, Component::Normal(_)))
        })
    };
    folders.iter().find(is_below).map(PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(folders: &str, entry: &str) -> Vec<String> {
        let text = format!("[api]\nfile_folders = {folders}\n[streams.\"live/a\"]\n{entry}\n");
        let mut config = Config::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let faults = config.confine_stream("live/a");
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_are_kept_to_the_folders_of_the_api() {
        for path in [
            "/rec/x.ts",
            "/rec/a/b.ts",
            "/var/lib/rec/%Y/x.ts",
            "/rec/${name}.ts",
        ] {
            assert_eq!(
                faults(
                    "[\"/rec\", \"/var/lib/rec/\"]",
                    &format!("outputs = [\"file://{path}\"]")
                ),
                [""; 0]
            );
        }
        for path in [
            "/etc/passwd",
            "/rec/../etc/passwd",
            "/recorded/x",
            "/rec/a/../../x",
            "/var/lib/x",
        ] {
            for list in ["inputs", "outputs"] {
                let told = faults(
                    "[\"/rec\", \"/var/lib/rec/\"]",
                    &format!("{list} = [\"file://{path}\"]"),
                );
                assert_eq!(told.len(), 1, "{path}");
                let place = format!("streams.\"live/a\".{list}[0]: is not a file in one of the folders");
                assert!(told[0].contains(&place), "{told:?}");
            }
        }
        let told = faults("[]", "outputs = [\"udp://127.0.0.1:5000\", \"file:///rec/x.ts\"]");
        assert!(
            told.len() == 1 && told[0].contains("outputs[1]: is a file, and file_folders"),
            "{told:?}"
        );
    }

    #[test]
    fn ports_of_the_system_are_the_operators_alone() {
        for entry in [
            "srt = { port = 1023 }",
            "inputs = [\"udp://:53\"]",
            "inputs = [\"rtp://239.1.1.1:514\"]",
            "inputs = [\"srt://:443\"]",
            "outputs = [\"srt://:443\"]",
            "outputs = [\"srt://host:9000?localport=53\"]",
        ] {
            let told = faults("[]", entry);
            assert!(
                told.len() == 1 && told[0].contains("below 1024"),
                "{entry}: {told:?}"
            );
        }
        for entry in [
            "srt = { port = 1024 }",
            "outputs = [\"udp://host:53\", \"srt://host:443\"]",
            "inputs = [\"srt://host:443\"]",
        ] {
            assert_eq!(faults("[]", entry), [""; 0], "{entry}");
        }
    }
}
