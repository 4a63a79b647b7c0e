//! Restricts definitions that the operator has not written: those of the API and of `[config_external]`.
//!
//! The configuration file may name any file and any port, because its author runs the gateway. API clients are
//! restricted to the folders in `[api]` and to unprivileged ports. Pure; `io` keeps a file in its folder when it opens
//! it.

use std::path::{Component, Path, PathBuf};

use super::{
    endpoint::{Endpoint, SrtMode, Target},
    fault::Fault,
    model::{Config, FilterSize, OptionValue, SrtSettings, Stream, StreamSettings},
    reader::join,
};

/// Ports below it belong to system services.
const UNPRIVILEGED: u16 = 1024;

/// The entries of a list from this index on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entries {
    Inputs(usize),
    Outputs(usize),
}

impl Config {
    /// Confines a whole stream; returns the violations.
    pub(crate) fn confine_stream(&mut self, name: &str) -> Vec<Fault> {
        let folders = &self.api.file_folders;
        let Some(stream) = self.streams.get_mut(name) else {
            return Vec::new();
        };
        let path = join("streams", name);
        let mut faults = confine_ports(stream, &path);
        faults.extend(confine_ring(stream, &self.streams_default.settings, &path));
        faults.extend(confine_entries(stream, Entries::Inputs(0), folders, &path));
        faults.extend(confine_entries(stream, Entries::Outputs(0), folders, &path));
        faults
    }

    /// Confines the entries that were added to a stream; returns the violations.
    pub(crate) fn confine_added(&mut self, name: &str, entries: Entries) -> Vec<Fault> {
        let folders = &self.api.file_folders;
        match self.streams.get_mut(name) {
            Some(stream) => confine_entries(stream, entries, folders, &join("streams", name)),
            None => Vec::new(),
        }
    }
}

fn fault(key: String, message: &str) -> Fault {
    Fault::nowhere(key, message)
}

fn confine_ports(stream: &Stream, path: &str) -> Vec<Fault> {
    let ports = stream.ports.iter();
    let mut faults = Vec::new();
    for port in ports {
        let path = join(path, port.kind.key());
        if is_privileged(port.listen.port()) {
            faults.push(fault(path.clone(), PRIVILEGED));
        }
        faults.extend(confine_settings(&port.settings, &path));
    }
    faults
}

/// The largest ring of a stream, in bytes; a 64th of it is allocated with the first message.
const RING_MAX: usize = 256 << 20;

/// The limit of sockets that share a port, because each has two threads.
const SHARDS_MAX: u32 = 16;

/// libsrt options that determine memory use, with their limits. libsrt allocates tables of these sizes for each
/// connection, and queues packets up to them if a peer reads slowly.
const SIZES: [(&str, i64); 3] = [("fc", 262_144), ("rcvbuf", 256 << 20), ("sndbuf", 256 << 20)];

fn confine_ring(stream: &Stream, defaults: &StreamSettings, path: &str) -> Option<Fault> {
    let most = RING_MAX.max(defaults.ring);
    (stream.settings.ring > most).then(|| too_large(join(path, "ring"), &format!("{most} bytes")))
}

fn too_large(key: String, most: &str) -> Fault {
    let message = format!("must be at most {most}: only the configuration file may set more");
    fault(key, &message)
}

/// The SRT settings that would use too much memory or too many threads. Values from `[srt_defaults]` are the
/// operator's.
fn confine_settings(settings: &SrtSettings, path: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, most) in SIZES {
        let Some(option) = settings.options.get(name) else {
            continue;
        };
        let number = match &option.value {
            OptionValue::Int(number) => Some(*number),
            OptionValue::Str(text) => text.trim().parse().ok(),
            OptionValue::Bool(_) => None,
        };
        let is_own = !option.path.starts_with("srt_defaults.");
        if is_own && number.is_some_and(|number| number > most) {
            faults.push(too_large(join(&join(path, "options"), name), &most.to_string()));
        }
    }
    if settings.shards.is_some_and(|shards| shards.get() > SHARDS_MAX) {
        faults.push(too_large(join(path, "shards"), &SHARDS_MAX.to_string()));
    }
    let filter = settings.packet_filter.as_deref().unwrap_or_default();
    let numbers = filter.split(',').filter_map(|part| {
        let (_, number) = part.split_once(':')?;
        number.parse::<i64>().ok()
    });
    if numbers.map(i64::unsigned_abs).max() > Some(FilterSize::MAX.into()) {
        let most = format!("{} columns and rows", FilterSize::MAX);
        faults.push(too_large(join(path, "packetfilter"), &most));
    }
    faults
}

/// Confines the sizes in a backend's answer, except for its inputs and outputs.
pub(super) fn confine_sizes(stream: &Stream, port: &SrtSettings, config: &Config) -> Vec<Fault> {
    let mut faults = confine_settings(port, "");
    faults.extend(confine_ring(stream, &config.streams_default.settings, ""));
    faults
}

impl Endpoint {
    /// Confines an output from the hook.
    ///
    /// # Errors
    /// The violation.
    pub(crate) fn confine_output(&self) -> Result<(), String> {
        let mut stream = Stream {
            outputs: vec![self.clone()],
            ..Stream::default()
        };
        let faults = confine_entries(&mut stream, Entries::Outputs(0), &[], "");
        faults.first().map_or(Ok(()), |fault| {
            Err(format!("{}: {}", fault.key(), fault.message()))
        })
    }
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
        if let Target::Srt(srt) = &endpoint.target {
            faults.extend(confine_settings(&srt.settings, &key));
        }
        if let Target::File(file) = &mut endpoint.target {
            match folder_of(&file.path, folders) {
                Some(folder) => file.folder = Some(folder.to_owned()),
                None if folders.is_empty() => faults.push(
                    fault(key, "is a file, but file_folders of [api] is empty")
                        .help("set file_folders = [\"/var/lib/srt-gateway/files\"] in [api], or write the entry into the configuration file"),
                ),
                None => faults.push(
                    fault(key, "is not in one of the folders that file_folders of [api] lists")
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

/// The folder that contains a path, judged by its text.
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
                let place = format!("streams.\"live/a\".{list}[0]: is not in one of the folders");
                assert!(told[0].contains(&place), "{told:?}");
            }
        }
        let told = faults("[]", "outputs = [\"udp://127.0.0.1:5000\", \"file:///rec/x.ts\"]");
        assert!(
            told.len() == 1 && told[0].contains("outputs[1]: is a file, but file_folders"),
            "{told:?}"
        );
    }

    #[test]
    fn nothing_sizes_memory_or_threads_without_bound() {
        for entry in [
            "srt = { port = 9001, options = { fc = 262145 } }",
            "srt = { port = 9001, shards = 17 }",
            "srt = { port = 9001, packetfilter = \"fec,cols:20,rows:-257\" }",
            "ring = \"300MB\"",
            "outputs = [\"srt://h:9000?fc=2147483647\"]",
            "outputs = [{ url = \"srt://h:9000\", options = { sndbuf = \"2147483647\" } }]",
            "inputs = [\"srt://h:9000?rcvbuf=2147483647\"]",
            "inputs = [\"srt://h:9000?packetfilter=fec,cols:65535\"]",
        ] {
            let told = faults("[]", entry);
            assert!(
                told.len() == 1 && told[0].contains("must be at most"),
                "{entry}: {told:?}"
            );
        }
        for entry in [
            "srt = { port = 9001, shards = 16, packetfilter = \"fec,cols:256,rows:256\", options = { fc = 262144, rcvbuf = 100000000 } }",
            "ring = \"256MB\"",
            "outputs = [\"srt://h:9000?fc=100000&sndbuf=200000000\"]",
        ] {
            assert_eq!(faults("[]", entry), [""; 0], "{entry}");
        }
        // The operator's own defaults.
        let text = "[srt_defaults]\noptions = { fc = 1000000 }\n[streams_default]\nring = \"1GB\"\n\
                    [streams.a]\nsrt = { port = 9001 }\noutputs = [\"srt://h:9000\"]";
        let mut config = Config::parse(text).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(config.confine_stream("a").is_empty());
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
