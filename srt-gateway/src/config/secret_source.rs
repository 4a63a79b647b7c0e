//! Secrets from outside the configuration: `{ file = "PATH" }`, `{ env = "NAME" }`, `{ credential = "NAME" }` in place
//! of a string. Resolved in the document's tree before its keys are read, so every key that takes a secret accepts
//! these forms.
//!
//! Reads files, so a configuration with such secrets must be parsed on a thread that may block. Only the operator's
//! text may use sources; definitions by the API and by backends reuse the secrets that were read for it.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{
    fault::Fault,
    raw::{KeyValue, Node, Value},
    reader::{ReadContext, join},
    secret::Secret,
};

/// The size limit of a secret in a file, in bytes, without its line break.
const LIMIT: usize = 4096;

/// The keys that take a secret, or a text that may contain one.
const KEYS: [&str; 9] = [
    "passphrase",
    "publish_passphrase",
    "play_passphrase",
    "password",
    "secret",
    "streamid",
    "token",
    "slack_url",
    "url",
];

/// Where systemd stores the credentials of this service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The source of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    File(PathBuf),
    Env(String),
    Credential(String),
}

impl Source {
    /// The source in a table. None: it is no source.
    fn of(entries: &[KeyValue]) -> Option<Result<Self, &'static str>> {
        let named = |entry: &KeyValue| matches!(entry.key.as_str(), "file" | "env" | "credential");
        if !entries.iter().any(named) {
            return None;
        }
        let [entry] = entries else {
            return Some(Err(
                "must be one of { file = \"PATH\" }, { env = \"NAME\" } and { credential = \"NAME\" }, and nothing else",
            ));
        };
        let name = entry
            .node
            .as_str()
            .filter(|name| !name.is_empty() && !name.contains('\0'));
        let Some(name) = name else {
            return Some(Err(
                "must name a file, an environment variable or a credential, as in { file = \"/run/secrets/NAME\" }",
            ));
        };
        Some(match entry.key.as_str() {
            "file" => Ok(Self::File(name.into())),
            "env" if name.contains('=') => Err("is no name of an environment variable"),
            "env" => Ok(Self::Env(name.to_owned())),
            _ if name.contains('/') || matches!(name, "." | "..") => Err(
                "must be the name of a credential, as in LoadCredential=NAME:PATH of the unit, not a path",
            ),
            _ => Ok(Self::Credential(name.to_owned())),
        })
    }

    fn read(&self, warnings: &mut Vec<String>) -> Result<Secret, String> {
        match self {
            Self::File(path) => {
                let (secret, mode) = read_file(path)?;
                if mode & 0o044 != 0 {
                    warnings.push(format!(
                        "{} can be read by other users (mode {:04o}): chmod 600",
                        path.display(),
                        mode & 0o7777
                    ));
                }
                Ok(secret)
            }
            Self::Env(name) => match env::var(name) {
                Ok(value) => {
                    secret_of(&value).map_err(|why| format!("the environment variable {name} {why}"))
                }
                Err(env::VarError::NotPresent) => Err(format!("the environment variable {name} is not set")),
                Err(env::VarError::NotUnicode(_)) => {
                    Err(format!("the environment variable {name} is not UTF-8"))
                }
            },
            Self::Credential(name) => {
                let folder = env::var_os(CREDENTIALS).filter(|folder| !folder.is_empty());
                let folder = folder.ok_or_else(|| {
                    format!("{CREDENTIALS} is not set: credentials are for services of systemd with LoadCredential=")
                })?;
                Ok(read_file(&Path::new(&folder).join(name))?.0)
            }
        }
    }
}

/// The secret, and the mode of the file.
fn read_file(path: &Path) -> Result<(Secret, u32), String> {
    let shown = path.display();
    let cannot = |error: io::Error| format!("cannot read {shown}: {error}");
    // Does not wait for a FIFO's writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(cannot)?;
    let found = file.metadata().map_err(cannot)?;
    if !found.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(LIMIT + "\r\n".len() + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes).map_err(cannot)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
    let secret = secret_of(&text).map_err(|why| format!("{shown} {why}"))?;
    Ok((secret, found.mode()))
}

/// The text without its line break.
fn secret_of(text: &str) -> Result<Secret, String> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("is empty".to_owned());
    }
    if line.len() > LIMIT {
        return Err(format!("has more than {LIMIT} bytes"));
    }
    if line.contains(['\n', '\r', '\0']) {
        return Err("has more than one line, or control characters".to_owned());
    }
    Ok(Secret::new(line))
}

/// The external secrets of a configuration, as read. Always equal to others: the secrets themselves are compared where
/// they are used.
#[derive(Clone, Debug, Default)]
pub struct SecretSources {
    known: BTreeMap<Source, Secret>,
    warnings: Vec<String>,
}

impl PartialEq for SecretSources {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SecretSources {}

impl SecretSources {
    /// One sentence for each unwise source, with its position in the file.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// How sources in the text are resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SourceMode<'k> {
    /// The operator's text: sources are read.
    Now,
    /// A text that the API has changed: sources keep the values read for the operator's text.
    Kept(&'k SecretSources),
}

/// Replaces sources with their secrets.
pub(crate) fn resolve(root: &mut Node, context: &ReadContext<'_>, reading: SourceMode<'_>) -> SecretSources {
    let mut walk = Walk {
        context,
        reading,
        found: SecretSources::default(),
    };
    walk.below(root, "");
    walk.found
}

struct Walk<'w, 't> {
    context: &'w ReadContext<'t>,
    reading: SourceMode<'w>,
    found: SecretSources,
}

impl Walk<'_, '_> {
    fn below(&mut self, node: &mut Node, path: &str) {
        match &mut node.value {
            Value::Table(entries) => {
                for entry in entries {
                    let path = join(path, &entry.key);
                    if KEYS.contains(&entry.key.as_str()) {
                        self.secrets(&mut entry.node, &path);
                    } else {
                        self.below(&mut entry.node, &path);
                    }
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.below(item, &format!("{path}[{at}]"));
                }
            }
            _ => {}
        }
    }

    /// The value of a key that takes a secret, or a list of them.
    fn secrets(&mut self, node: &mut Node, path: &str) {
        match &mut node.value {
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.secrets(item, &format!("{path}[{at}]"));
                }
            }
            Value::Table(entries) => {
                let Some(source) = Source::of(entries) else { return };
                let span = node.span.clone();
                let location = self.context.location(span.clone());
                let secret = source
                    .map_err(str::to_owned)
                    .and_then(|source| self.read(source, path, location.line()));
                match secret {
                    Ok(secret) => {
                        // Error messages must not show it.
                        self.context.hide(span.clone());
                        *node = Node::of(Value::Str(secret.expose().to_owned()), span);
                    }
                    Err(why) => {
                        self.context.fault(Fault::new(path, location, why));
                        // One error is enough: a missing value causes no others.
                        *node = Node::of(Value::Missing, span);
                    }
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, source: Source, path: &str, line: usize) -> Result<Secret, String> {
        let secret = match self.reading {
            SourceMode::Now => {
                let mut warnings = Vec::new();
                let secret = source.read(&mut warnings)?;
                let warnings = warnings.iter().map(|told| format!("line {line}: {path}: {told}"));
                self.found.warnings.extend(warnings);
                secret
            }
            SourceMode::Kept(kept) => kept
                .known
                .get(&source)
                .cloned()
                .ok_or_else(|| ONLY_FILE.to_owned())?,
        };
        self.found.known.insert(source, secret.clone());
        Ok(secret)
    }
}

/// The error for API clients.
pub(crate) const ONLY_FILE: &str =
    "only the configuration file may take secrets from files, the environment and credentials";

/// The key of a definition that uses an external secret, if any.
pub(crate) fn source_in(table: &toml::Table) -> Option<String> {
    table
        .iter()
        .find_map(|(key, value)| source_at(key, value, KEYS.contains(&key.as_str())))
}

fn source_at(path: &str, value: &toml::Value, is_secret: bool) -> Option<String> {
    match value {
        toml::Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(at, item)| source_at(&format!("{path}[{at}]"), item, is_secret))
        }
        toml::Value::Table(_) if is_secret => Some(path.to_owned()),
        toml::Value::Table(table) => {
            let mut entries = table.iter();
            entries.find_map(|(key, value)| source_at(&join(path, key), value, KEYS.contains(&key.as_str())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::config::Config;

    fn written(folder: &Path, name: &str, text: &str, mode: u32) -> String {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn faults(text: &str) -> Vec<(String, usize, usize, String)> {
        let errors = Config::parse(text).unwrap_err();
        let fault = |fault: &Fault| {
            let at = fault.location();
            (
                fault.key().to_owned(),
                at.line(),
                at.column(),
                fault.message().to_owned(),
            )
        };
        errors.faults().iter().map(fault).collect()
    }

    #[test]
    fn every_key_that_takes_a_secret_takes_it_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = written(folder.path(), name, text, 0o600);
            format!("{{ file = {path:?} }}")
        };
        let long = file("long", "the long secret\n");
        let url = file("url", "http://al:hush@127.0.0.1:8000/x\r\n");
        let srt = file("srt", "srt://127.0.0.1:9?passphrase=correct horse");
        let text = format!(
            "[api]\ntoken = {long}\ntokens = [{{ token = {long}, name = \"n\" }}]\n[srt]\nport = 9998\npassphrase = {long}\n\
             [auth]\nurl = {url}\nsecret = {long}\n[events]\nurl = {url}\nsecret = {long}\n[[rules]]\nuser = \"u\"\npassword = {long}\n\
             [streams.a]\npublish_passphrase = [{long}, \"battery staple\"]\nplay_passphrase = {long}\npassword = {long}\n\
             inputs = [{{ url = \"srt://127.0.0.1:8\", passphrase = {long}, streamid = {long} }}]\noutputs = [{{ url = {srt} }}]\n\
             [templates.t]\nprefix = \"t/\"\noutputs = [{{ url = \"srt://127.0.0.1:9\", passphrase = {long} }}]"
        );
        let config = Config::parse(&text).unwrap();
        let secret = Some("the long secret");
        let of = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        assert_eq!(of(&config.api.token).as_deref(), secret);
        assert_eq!(config.api.tokens[0].token.expose(), "the long secret");
        assert_eq!(of(&config.ports[0].settings.passphrase).as_deref(), secret);
        let auth = config.auth.as_ref().unwrap();
        assert_eq!(auth.url.expose(), "http://al:hush@127.0.0.1:8000/x");
        assert_eq!(of(&auth.secret).as_deref(), secret);
        assert_eq!(of(&config.rules[0].password).as_deref(), secret);
        let stream = &config.streams["a"];
        assert_eq!(stream.publish_passphrases.len(), 2);
        assert_eq!(of(&stream.password).as_deref(), secret);
        let settings = |endpoint: &crate::config::Endpoint| match &endpoint.target {
            crate::config::Target::Srt(srt) => of(&srt.settings.passphrase),
            _ => None,
        };
        assert_eq!(settings(&stream.inputs[0]).as_deref(), secret);
        assert_eq!(settings(&stream.outputs[0]).as_deref(), Some("correct horse"));
        assert!(config.warnings().iter().all(|told| !told.contains("chmod")));
        let debug = format!("{config:?}");
        assert!(
            !debug.contains("long secret") && !debug.contains("horse"),
            "{debug}"
        );
        // The kept value is used where the files are not read again.
        drop(folder);
        assert!(Config::parse(&text).is_err());
        let again = Config::parse_again(&text, &config.secret_sources).unwrap();
        assert_eq!(again, config);
        let other =
            Config::parse_again("[api]\ntoken = { env = \"HOME\" }", &config.secret_sources).unwrap_err();
        assert_eq!(other.faults()[0].message(), ONLY_FILE);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_without_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let secret = "sesame ".repeat(1000);
        for (name, text) in [
            ("empty", "\n"),
            ("long", secret.as_str()),
            ("two", "one line\nsecond sesame\n"),
            ("short", "sesame"),
        ] {
            written(folder.path(), name, text, 0o600);
        }
        fs::write(path("binary"), b"\xff\xfesesame").unwrap();
        let fifo = std::process::Command::new("mkfifo")
            .arg(path("fifo"))
            .status()
            .unwrap();
        assert!(fifo.success());
        for (name, wanted) in [
            ("none", "No such file"),
            ("empty", "is empty"),
            ("long", "more than 4096 bytes"),
            ("two", "more than one line"),
            ("binary", "is not UTF-8"),
            ("fifo", "is not a regular file"),
            ("", "is not a regular file"),
            ("short", "must be 10 to 79 characters, is 6"),
        ] {
            let text = format!("[srt]\nport = 1\npassphrase = {{ file = {:?} }}", path(name));
            let [(key, line, column, message)] = &faults(&text)[..] else {
                panic!("{name}: {:?}", faults(&text));
            };
            assert_eq!(
                (key.as_str(), *line, *column),
                ("srt.passphrase", 3, 14),
                "{name}"
            );
            assert!(
                message.contains(wanted) && !message.contains("sesame"),
                "{name}: {message}"
            );
            let errors = Config::parse(&text).unwrap_err();
            assert!(!errors.to_string().contains("sesame"), "{errors}");
        }
        for (value, wanted) in [
            ("{ env = \"SRT_GATEWAY_NO_SUCH_VARIABLE\" }", "is not set"),
            ("{ credential = \"../x\" }", "name of a credential"),
            ("{ file = \"/a\", env = \"B\" }", "and nothing else"),
            ("{ file = 3 }", "must name a file"),
        ] {
            let found = faults(&format!("[api]\ntoken = {value}"));
            assert!(
                found.len() == 1 && found[0].3.contains(wanted),
                "{value}: {found:?}"
            );
        }
        assert!(
            faults("[api]\ntoken = { path = \"/a\" }")[0]
                .3
                .contains("must be a string")
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "open", "a long secret", 0o640);
        let config = Config::parse(&format!("[api]\n\ntoken = {{ file = {path:?} }}")).unwrap();
        let warnings = config.warnings();
        let told = warnings.iter().find(|told| told.contains("mode 0640"));
        assert!(
            told.is_some_and(|told| told.starts_with("line 3: api.token: ")),
            "{warnings:?}"
        );
    }

    #[test]
    fn definitions_that_take_secrets_from_elsewhere_are_found() {
        for (text, key) in [
            (
                "publish_passphrase = { file = \"/x\" }",
                Some("publish_passphrase"),
            ),
            (
                "play_passphrase = [\"a\", { env = \"X\" }]",
                Some("play_passphrase[1]"),
            ),
            (
                "outputs = [\"udp://h:1\", { url = \"srt://h:1\", streamid = { file = \"/x\" } }]",
                Some("outputs[1].streamid"),
            ),
            ("outputs = [{ url = { file = \"/x\" } }]", Some("outputs[0].url")),
            (
                "srt_publish = { port = 2000, passphrase = { credential = \"x\" } }",
                Some("srt_publish.passphrase"),
            ),
            ("outputs = [{ url = \"file:///x\" }]", None),
        ] {
            assert_eq!(source_in(&text.parse().unwrap()).as_deref(), key, "{text}");
        }
    }
}
