//! Typed access to the tree of [`raw`](super::raw): each reader knows the position and key path of its value, returns
//! `Option`, and records errors, so that one pass finds all of them.
//!
//! Knows types and the table of keys; `validate` checks values against each other.

use std::{cell::RefCell, fmt::Display, ops::Range, ops::RangeInclusive, time::Duration};

use super::{
    fault::Fault,
    keys::{self, KeyDoc, Section},
    model::{OptionValue, SrtOption},
    nearest::nearest,
    raw::{KeyValue, Node, Value},
    secret::Secret,
    types::{LineStarts, ListenAddr, Location, SrtVersion},
    units::{self, Unit},
};
use crate::address::ZonedIp;

/// One pass over one text: collects errors, and the positions of secrets.
pub(crate) struct ReadContext<'t> {
    text: &'t str,
    lines: LineStarts,
    faults: RefCell<Vec<Fault>>,
    masks: RefCell<Vec<Range<usize>>>,
    options: RefCell<Vec<(String, SrtOption)>>,
    #[cfg(test)]
    met: RefCell<std::collections::BTreeSet<(Section, &'static str)>>,
}

impl<'t> ReadContext<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            lines: LineStarts::of(text),
            faults: RefCell::default(),
            masks: RefCell::default(),
            options: RefCell::default(),
            #[cfg(test)]
            met: RefCell::default(),
        }
    }

    pub(crate) fn location(&self, span: Range<usize>) -> Location {
        Location::of(self.text, &self.lines, span)
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// Hides the bytes of `span` in error messages.
    pub(crate) fn hide(&self, span: Range<usize>) {
        self.masks.borrow_mut().push(span);
    }

    /// The known keys that the text contains.
    #[cfg(test)]
    pub(crate) fn met(&self) -> std::collections::BTreeSet<(Section, &'static str)> {
        self.met.borrow().clone()
    }

    /// Records a libsrt option, to be checked with all others.
    pub(crate) fn option(&self, name: &str, option: &SrtOption) {
        self.options.borrow_mut().push((name.to_owned(), option.clone()));
    }

    /// Calls `check` for each recorded option.
    pub(crate) fn check_options(&self, mut check: impl FnMut(&str, &OptionValue) -> Result<(), String>) {
        for (name, option) in self.options.take() {
            if let Err(message) = check(&name, &option.value) {
                self.fault(Fault::new(&option.path, option.at, message));
            }
        }
    }

    /// The errors, and the spans to hide.
    pub(crate) fn into_parts(self) -> (Vec<Fault>, Vec<Range<usize>>) {
        (self.faults.into_inner(), self.masks.into_inner())
    }
}

/// A value with its position.
#[derive(Clone, Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Location,
    pub(crate) path: String,
}

/// A table of the text.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    context: &'a ReadContext<'a>,
    entries: Vec<&'a KeyValue>,
    section: Section,
    path: String,
    span: Range<usize>,
}

impl<'a> Table<'a> {
    /// The document.
    pub(crate) fn root(context: &'a ReadContext<'a>, node: &'a Node) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            return None;
        };
        let start = 0..0;
        Some(Self::of(
            context,
            entries.iter().collect(),
            Section::Root,
            String::new(),
            start,
        ))
    }

    /// A table of these entries; unknown ones are errors.
    pub(crate) fn of(
        context: &'a ReadContext<'a>,
        entries: Vec<&'a KeyValue>,
        section: Section,
        path: String,
        span: Range<usize>,
    ) -> Self {
        let table = Self {
            context,
            entries,
            section,
            path,
            span,
        };
        for entry in &table.entries {
            match keys::find(section, &entry.key) {
                None => table.unknown(entry),
                #[cfg(test)]
                Some(doc) => drop(context.met.borrow_mut().insert((doc.section, doc.name))),
                #[cfg(not(test))]
                Some(_) => {}
            }
        }
        table
    }

    fn unknown(&self, entry: &KeyValue) {
        // It may be a passphrase with a misspelt key.
        self.context.hide(entry.node.span.clone());
        hide_below(self.context, &entry.node);
        let name: String = entry.key.chars().take(60).collect();
        let at = self.context.location(entry.key_span.clone());
        let message = format!("unknown key `{}`", name.escape_debug());
        let mut fault = Fault::new(join(&self.path, &name), at, message);
        let here = || keys::of(self.section).map(|key| key.name);
        let synonym = || {
            let (_, ours) = keys::SYNONYMS.iter().find(|(theirs, _)| *theirs == entry.key)?;
            here().find(|key| key == ours)
        };
        let elsewhere = || keys::reference().iter().find(|key| key.name == entry.key);
        if let Some(known) = synonym().or_else(|| nearest(&entry.key, here())) {
            fault = fault.help(format!("did you mean `{known}`?"));
        } else if let Some(key) = elsewhere() {
            fault = fault.help(format!("`{}` is a key of {}", key.name, key.section.title()));
        } else {
            let known: Vec<_> = here().collect();
            fault = fault.help(format!("valid keys: {}", known.join(", ")));
        }
        self.context.fault(fault);
    }

    /// The value of `key`, if the table has it.
    pub(crate) fn get(&self, key: &str) -> Option<Field<'a>> {
        let doc = keys::find(self.section, key);
        debug_assert!(
            doc.is_some(),
            "{key} is not in the table of keys for {:?}",
            self.section
        );
        let doc = doc?;
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Field {
            context: self.context,
            node: &entry.node,
            doc,
            path: join(&self.path, key),
        })
    }

    /// Like [`get`](Self::get), but records an error if it is missing.
    pub(crate) fn need(&self, key: &str) -> Option<Field<'a>> {
        let item = self.get(key);
        if item.is_none() {
            let example = keys::find(self.section, key).map_or("", |doc| doc.example);
            self.fault(Fault::new(
                &self.path,
                self.at(),
                format!("`{key}` is missing, as in {key} = {example}"),
            ));
        }
        item
    }

    pub(crate) fn at(&self) -> Location {
        self.context.location(self.span.clone())
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn context(&self) -> &'a ReadContext<'a> {
        self.context
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.context.fault(fault);
    }
}

fn hide_below(context: &ReadContext<'_>, node: &Node) {
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| hide_below(context, item)),
        Value::Table(entries) => entries.iter().for_each(|entry| hide_below(context, &entry.node)),
        _ => context.hide(node.span.clone()),
    }
}

/// `path.key`, quoted as in TOML.
pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// A value of the text.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    context: &'a ReadContext<'a>,
    node: &'a Node,
    doc: &'static KeyDoc,
    path: String,
}

impl<'a> Field<'a> {
    pub(crate) fn context(&self) -> &'a ReadContext<'a> {
        self.context
    }

    pub(crate) fn node(&self) -> &'a Node {
        self.node
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn location(&self) -> Location {
        self.context.location(self.node.span.clone())
    }

    pub(crate) fn at<T>(&self, value: T) -> Located<T> {
        Located {
            value,
            at: self.location(),
            path: self.path.clone(),
        }
    }

    /// An error of this value.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> Fault {
        Fault::new(&self.path, self.location(), message)
    }

    /// Records that the value is not allowed. Quotes the value, unless it is a secret.
    pub(crate) fn must_be(&self, allowed: impl Display) {
        if !self.is_missing() {
            self.context.fault(self.not(allowed));
        }
    }

    fn is_missing(&self) -> bool {
        matches!(self.node.value, Value::Missing)
    }

    fn not(&self, allowed: impl Display) -> Fault {
        let is = if self.doc.secret {
            hide_below(self.context, self.node);
            self.node.type_words().to_owned()
        } else {
            self.node.shown()
        };
        self.wrong(format!("must be {allowed}, is {is}"))
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        let text = self.node.as_str();
        if text.is_none() {
            self.must_be("a string");
        }
        text
    }

    /// A non-empty string without control characters.
    pub(crate) fn line(&self) -> Option<&'a str> {
        let text = self.text()?;
        let good = !text.is_empty() && !text.contains(crate::names::is_control);
        if !good {
            self.must_be("a string of at least one character, without control characters");
        }
        good.then_some(text)
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        let value = match &self.node.value {
            Value::Bool(on) => Some(*on),
            Value::Text(text) => match text.as_str() {
                "true" | "1" | "yes" => Some(true),
                "false" | "0" | "no" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if value.is_none() {
            self.must_be("true or false");
        }
        value
    }

    pub(crate) fn integer(&self, allowed: RangeInclusive<i64>) -> Option<i64> {
        let value = match &self.node.value {
            Value::Int(number) => *number,
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        let value = value.filter(|number| allowed.contains(number));
        if value.is_none() {
            let (low, high) = allowed.into_inner();
            self.must_be(format_args!("an integer from {low} to {high}"));
        }
        value
    }

    /// A limit, where 0 means none.
    pub(crate) fn limit(&self) -> Option<Option<std::num::NonZeroU32>> {
        let number = self.integer(0..=i64::from(u32::MAX))?;
        Some(u32::try_from(number).ok().and_then(std::num::NonZeroU32::new))
    }

    pub(crate) fn choice<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.node.as_str();
        let offered = || words.iter().map(|(word, _)| *word);
        let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == text) else {
            let mut fault = self.not(either(offered()));
            if let Some(near) = text.and_then(|text| nearest(text, offered())) {
                fault = fault.help(format!("did you mean \"{near}\"?"));
            }
            self.context.fault(fault);
            return None;
        };
        Some(*value)
    }

    pub(crate) fn duration(&self, unit: Unit, allowed: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self
            .bare_duration(unit)
            .filter(|duration| allowed.contains(duration));
        if value.is_none() {
            let (low, high) = (unit.show(*allowed.start()), unit.show(*allowed.end()));
            let example = if unit == Unit::Millis {
                "\"120ms\""
            } else {
                "\"5s\", \"2m\""
            };
            let mut fault = self.not(format_args!(
                "a duration from {low} to {high}: a number in {}, or a string such as {example}",
                unit.name()
            ));
            // 200 ms, as in URLs made for ffmpeg.
            let micros = self
                .bare_duration(Unit::Micros)
                .filter(|duration| allowed.contains(duration));
            if let (Unit::Millis, Some(micros)) = (unit, micros) {
                let meant = unit.show(micros);
                fault = fault.help(format!(
                    "ffmpeg uses microseconds here; if you meant {meant}, write {meant:?}"
                ));
            }
            self.context.fault(fault);
        }
        value
    }

    /// A duration, where -1 means `None`.
    pub(crate) fn duration_or_never(
        &self,
        unit: Unit,
        allowed: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        let never = match &self.node.value {
            Value::Int(Some(-1)) => true,
            Value::Text(text) | Value::Str(text) => text == "-1",
            _ => false,
        };
        if never {
            return Some(None);
        }
        let value = self
            .bare_duration(unit)
            .filter(|duration| allowed.contains(duration));
        if value.is_none() {
            let (low, high) = (unit.show(*allowed.start()), unit.show(*allowed.end()));
            self.must_be(format_args!("-1 (never), or a duration from {low} to {high}"));
        }
        value.map(Some)
    }

    fn bare_duration(&self, unit: Unit) -> Option<Duration> {
        match &self.node.value {
            Value::Int(number) => units::duration(&(*number)?.to_string(), unit),
            Value::Float(text) | Value::Str(text) | Value::Text(text) => units::duration(text, unit),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, allowed: RangeInclusive<u64>) -> Option<u64> {
        let value = match &self.node.value {
            Value::Int(number) => number.and_then(|n| u64::try_from(n).ok()),
            Value::Str(text) | Value::Text(text) => units::bytes(text),
            _ => None,
        };
        let value = value.filter(|bytes| allowed.contains(bytes));
        if value.is_none() {
            let (low, high) = (show_bytes(*allowed.start()), show_bytes(*allowed.end()));
            self.must_be(format_args!(
                "a size from {low} to {high}, such as \"8MiB\" or a number of bytes"
            ));
        }
        value
    }

    pub(crate) fn bit_rate(&self) -> Option<u64> {
        let value = match &self.node.value {
            Value::Int(number) => number.and_then(|n| u64::try_from(n).ok()),
            Value::Str(text) | Value::Text(text) => units::bit_rate(text),
            _ => None,
        };
        if value.is_none() {
            self.must_be("a bit rate: a number of b/s, or a string such as \"20M\" or \"500k\"");
        }
        value
    }

    /// A secret; `Some(None)` if it is empty.
    pub(crate) fn secret(&self) -> Option<Option<Secret>> {
        self.context.hide(self.node.span.clone());
        let text = self.text()?;
        Some((!text.is_empty()).then(|| Secret::new(text)))
    }

    /// An SRT passphrase; `Some(None)` if it is empty.
    pub(crate) fn passphrase(&self) -> Option<Option<Secret>> {
        let secret = self.secret()?;
        match secret.as_ref().map(|secret| secret.expose().len()) {
            None | Some(10..=79) => Some(secret),
            Some(length) => {
                let ascii = secret.is_some_and(|secret| secret.expose().is_ascii());
                let counted = if ascii { "" } else { " (counted as bytes of UTF-8)" };
                self.context.fault(
                    self.wrong(format!("must be 10 to 79 characters, is {length}{counted}"))
                        .help("an empty string means no encryption"),
                );
                None
            }
        }
    }

    pub(crate) fn version(&self) -> Option<SrtVersion> {
        match self.text()?.parse() {
            Ok(version) => Some(version),
            Err(allowed) => {
                self.must_be(allowed);
                None
            }
        }
    }

    pub(crate) fn ip(&self) -> Option<ZonedIp> {
        let ip = self.text()?.parse().ok();
        if ip.is_none() {
            self.must_be("an IP address");
        }
        ip
    }

    pub(crate) fn listen_addr(&self) -> Option<ListenAddr> {
        let parsed = match &self.node.value {
            Value::Int(Some(number)) => ListenAddr::parse(&number.to_string()),
            Value::Str(text) | Value::Text(text) => ListenAddr::parse(text),
            _ => ListenAddr::parse(""),
        };
        match parsed {
            Ok(addr) => Some(addr),
            Err(allowed) => {
                self.must_be(allowed);
                None
            }
        }
    }

    /// The elements of a list. Any other value counts as a list of one.
    pub(crate) fn elements(&self) -> Vec<Field<'a>> {
        let element = |(index, node): (usize, &'a Node)| Field {
            node,
            path: format!("{}[{index}]", self.path),
            ..self.clone()
        };
        match &self.node.value {
            Value::Array(items) => items.iter().enumerate().map(element).collect(),
            _ => vec![self.clone()],
        }
    }

    /// The elements of a list; other types are errors.
    pub(crate) fn list(&self) -> Vec<Field<'a>> {
        if matches!(self.node.value, Value::Array(_)) {
            return self.elements();
        }
        self.must_be(format_args!(
            "a list, as in {} = {}",
            self.doc.name, self.doc.example
        ));
        Vec::new()
    }

    /// A table of kind `section`.
    pub(crate) fn table(&self, section: Section) -> Option<Table<'a>> {
        let entries = self.entries()?.iter().collect();
        let span = self.node.span.clone();
        Some(Table::of(self.context, entries, section, self.path.clone(), span))
    }

    /// The tables in a table whose keys are names.
    pub(crate) fn named(&self) -> Vec<(&'a KeyValue, Field<'a>)> {
        let item = |entry: &'a KeyValue| Field {
            node: &entry.node,
            path: join(&self.path, &entry.key),
            ..self.clone()
        };
        self.entries()
            .unwrap_or_default()
            .iter()
            .map(|entry| (entry, item(entry)))
            .collect()
    }

    /// The entries of a table; other types are errors.
    pub(crate) fn entries(&self) -> Option<&'a [KeyValue]> {
        if let Value::Table(entries) = &self.node.value {
            return Some(entries);
        }
        self.context.hide(self.node.span.clone());
        let (name, example) = (self.doc.name, self.doc.example);
        self.context.fault(
            self.wrong(format!("must be a table, is {}", self.node.type_words()))
                .help(if self.doc.secret {
                    "a table is { key = value }".to_owned()
                } else {
                    format!("as in {name} = {example}")
                }),
        );
        None
    }
}

/// `"a", "b" or "c"`.
fn either<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<_> = words.map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn show_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units
        .iter()
        .find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(size, name)| format!("{} {name}", bytes / size),
    )
}
