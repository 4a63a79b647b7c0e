//! The TOML text as a tree of values with their positions. Pure; independent of the keys.
//!
//! Not serde: a derived `Deserialize` stops at the first error, while the gateway reports all errors in one pass.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value and its position.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
    /// Where the content of a string begins in the source, if the source contains it literally.
    verbatim: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Str(String),
    /// A parameter of a URL: text that is converted to the type of its key.
    Text(String),
    /// `None`: it does not fit 64 bits.
    Int(Option<i64>),
    /// As written, without underscores.
    Float(String),
    Bool(bool),
    Datetime,
    /// A secret that could not be read, which has been reported.
    Missing,
    Array(Vec<Node>),
    Table(Vec<KeyValue>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

impl Node {
    /// Parses a document.
    pub(crate) fn document(text: &str) -> Result<Self, toml::de::Error> {
        let table = DeTable::parse(text)?;
        Ok(Self {
            span: 0..text.len(),
            value: Value::Table(entries(text, table.get_ref())),
            verbatim: None,
        })
    }

    /// A parameter of a URL.
    pub(crate) fn text(text: String, span: Range<usize>) -> Self {
        Self {
            span,
            value: Value::Text(text),
            verbatim: None,
        }
    }

    /// A value that does not appear in the source in this form.
    pub(crate) fn of(value: Value, span: Range<usize>) -> Self {
        Self {
            span,
            value,
            verbatim: None,
        }
    }

    /// The position of bytes `range` of a string in the source, or of the whole value if that is not known.
    pub(crate) fn part(&self, range: Range<usize>) -> Range<usize> {
        self.verbatim
            .map_or_else(|| self.span.clone(), |at| at + range.start..at + range.end)
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) | Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The name of its type, with an article.
    pub(crate) fn type_words(&self) -> &'static str {
        match self.value {
            Value::Str(_) | Value::Text(_) => "a string",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number with a fraction",
            Value::Bool(_) => "a boolean",
            Value::Datetime => "a date or time",
            Value::Missing => "missing",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The value for a message. Only for values that are no secrets.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            Value::Str(text) => format!("{:?}", shortened(text)),
            Value::Text(text) => shortened(text),
            Value::Int(Some(number)) => number.to_string(),
            Value::Int(None) => "a number that does not fit 64 bits".into(),
            Value::Float(number) => shortened(number),
            Value::Bool(on) => on.to_string(),
            Value::Datetime | Value::Missing | Value::Array(_) | Value::Table(_) => self.type_words().into(),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

fn entries(text: &str, table: &DeTable<'_>) -> Vec<KeyValue> {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| KeyValue {
        key: AsRef::<str>::as_ref(key.get_ref()).to_owned(),
        key_span: key.span(),
        node: node(text, value),
    };
    let mut entries: Vec<KeyValue> = table.iter().map(entry).collect();
    // toml's map is sorted by key, but users expect the order of the text.
    entries.sort_by_key(|entry| entry.key_span.start);
    entries
}

fn node(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let mut verbatim = None;
    let value = match value.get_ref() {
        DeValue::String(string) => {
            let quotes = [r#"""""#, "'''", r#"""#, "'"];
            let source = text.get(span.clone()).unwrap_or_default();
            verbatim = quotes
                .iter()
                .find_map(|quote| {
                    source
                        .strip_prefix(quote)?
                        .strip_suffix(quote)
                        .map(|s| (quote.len(), s))
                })
                .filter(|(_, inside)| *inside == string.as_ref())
                .map(|(quote, _)| span.start + quote);
            Value::Str(string.clone().into_owned())
        }
        DeValue::Integer(number) => Value::Int(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::Boolean(on) => Value::Bool(*on),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(items.iter().map(|item| node(text, item)).collect()),
        DeValue::Table(table) => Value::Table(entries(text, table)),
    };
    Node {
        span,
        value,
        verbatim,
    }
}
