//! Errors of a configuration: all of them at once, each with its position, its key and what is allowed.
//!
//! Owns the error texts. Never shows a secret: quotes of the source are masked first (`mask`). Does not print and does
//! not choose colours; runs on the caller's thread.

use std::{fmt, io, ops::Range, path::PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{
    mask,
    types::{LineStarts, Location},
};

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    key: String,
    message: String,
    help: Option<String>,
    at: Location,
    other: Option<(Location, String)>,
}

impl Fault {
    pub(crate) fn new(key: impl Into<String>, at: Location, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
            help: None,
            at,
            other: None,
        }
    }

    /// An error without a position in a text.
    pub(crate) fn nowhere(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(key, Location::of("", &LineStarts::of(""), 0..0), message)
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn other(mut self, at: Location, label: impl Into<String>) -> Self {
        self.other = Some((at, label.into()));
        self
    }

    /// The path of the key, as in `streams."live/cam1".srt.port`. Empty for an error of the whole text.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The error, with the value (unless it is a secret) and what is allowed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A suggestion, if there is one.
    pub fn hint(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Its position.
    pub fn location(&self) -> &Location {
        &self.at
    }

    /// A second position, as for an address that is used twice.
    pub fn related(&self) -> Option<&Location> {
        self.other.as_ref().map(|(at, _)| at)
    }

    fn title(&self) -> String {
        if self.key.is_empty() {
            self.message.clone()
        } else {
            format!("{}: {}", self.key, self.message)
        }
    }
}

impl fmt::Display for Fault {
    /// `line:column: key: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at.line(), self.at.column(), self.title())?;
        if let Some((at, label)) = &self.other {
            write!(f, " ({label} at {}:{})", at.line(), at.column())?;
        }
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

/// All errors of a configuration, in the order of the text. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    faults: Vec<Fault>,
}

impl ConfigErrors {
    /// `None` if there are no errors.
    pub(crate) fn of(mut faults: Vec<Fault>) -> Option<Self> {
        faults.sort_by_key(|fault| (fault.at.span().start, fault.at.span().end));
        (!faults.is_empty()).then_some(Self { faults })
    }

    /// The errors, in the order of the text.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// All errors as plain text with the affected lines. `source_name` is the file's name; `text` is the parsed text.
    /// Secrets in these lines are masked.
    pub fn render(&self, source_name: &str, text: &str) -> String {
        self.render_with(&Renderer::plain(), source_name, text)
    }

    /// Like [`render`](Self::render), with terminal colours.
    pub fn render_styled(&self, source_name: &str, text: &str) -> String {
        self.render_with(&Renderer::styled(), source_name, text)
    }

    fn render_with(&self, renderer: &Renderer, source_name: &str, text: &str) -> String {
        let shown = mask::masked(text);
        let mut out = String::new();
        for fault in &self.faults {
            let mut group = Group::with_title(Level::ERROR.primary_title(fault.title())).element(snippet(
                &shown,
                source_name,
                &fault.at,
                AnnotationKind::Primary,
                "",
            ));
            if let Some((at, label)) = &fault.other {
                group = group.element(snippet(&shown, source_name, at, AnnotationKind::Context, label));
            }
            if let Some(help) = &fault.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        let count = self.faults.len();
        out.push_str(&format!(
            "{source_name}: {count} {}\n",
            if count == 1 { "error" } else { "errors" }
        ));
        out
    }
}

/// One line of the source with one mark. Never more than a line: text that is not affected is not shown.
fn snippet<'a>(
    shown: &'a str,
    source_name: &'a str,
    at: &Location,
    kind: AnnotationKind,
    label: &'a str,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let (line, span) = line_of(shown, at.span());
    let mut mark = kind.span(span);
    if !label.is_empty() {
        mark = mark.label(label);
    }
    Snippet::source(line)
        .path(source_name)
        .line_start(at.line().max(1))
        .annotation(mark)
}

/// The line in which `span` begins, and the part of `span` in it.
fn line_of(text: &str, span: Range<usize>) -> (&str, Range<usize>) {
    let start = if text.is_char_boundary(span.start) {
        span.start
    } else {
        text.len()
    };
    let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let to = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line = text[from..to].trim_end_matches('\r');
    let begin = (start - from).min(line.len());
    let end = span.end.saturating_sub(from).clamp(begin, line.len());
    (line, begin..end)
}

impl fmt::Display for ConfigErrors {
    /// One line per error: `line:column: key: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Why a configuration file could not be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The file is not UTF-8.
    Utf8 {
        /// The file.
        path: PathBuf,
        /// The offset of the first invalid byte.
        offset: usize,
    },
    /// The file's text has errors.
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its text, for [`ConfigErrors::render`].
        text: mask::SourceText,
        /// The errors.
        errors: ConfigErrors,
    },
}

impl LoadError {
    /// For display: with the affected lines, without colours.
    pub fn render(&self) -> String {
        match self {
            Self::Invalid { path, text, errors } => errors.render(&path.display().to_string(), text.as_str()),
            _ => format!("{self}\n"),
        }
    }

    /// Like [`render`](Self::render), with terminal colours.
    pub fn render_styled(&self) -> String {
        match self {
            Self::Invalid { path, text, errors } => {
                errors.render_styled(&path.display().to_string(), text.as_str())
            }
            _ => format!("{self}\n"),
        }
    }
}

impl fmt::Display for LoadError {
    /// One line per error: `file:line:column: key: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "{}: cannot be read: {error}", path.display()),
            Self::Utf8 { path, offset } => {
                write!(
                    f,
                    "{}: is not UTF-8 text (byte {offset}); save it as UTF-8",
                    path.display()
                )
            }
            Self::Invalid { path, errors, .. } => {
                for (index, fault) in errors.faults.iter().enumerate() {
                    let separator = if index > 0 { "\n" } else { "" };
                    write!(f, "{separator}{}:{fault}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            Self::Utf8 { .. } | Self::Invalid { .. } => None,
        }
    }
}
