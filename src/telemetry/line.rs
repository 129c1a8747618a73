//! A log line as text or JSON. Pure: what happened comes in, the line with its end comes out.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

use super::{LogFormat, fields};
use crate::clock::Timestamp;
use crate::limits::LOG_VALUE_BYTES_MAX;

/// The name under which `tracing` keeps a statement's sentence.
const MESSAGE: &str = "message";

/// A value as it stands in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A number or a truth value, the same in text and JSON.
    Plain(String),
    /// Everything else.
    Text(String),
}

/// The fields of an event or a span: those of [`fields::FIELDS`], and the sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    message: String,
    values: Vec<(&'static str, Value)>,
}

/// What a line says.
#[derive(Debug)]
pub(super) struct Line<'l> {
    pub(super) at: Timestamp,
    pub(super) level: tracing::Level,
    pub(super) target: &'l str,
    pub(super) fields: Fields,
}

impl Fields {
    /// Adds what `outer` says and these do not.
    pub(super) fn inherit(&mut self, outer: &Self) {
        for (name, value) in &outer.values {
            if self.get(name).is_none() {
                self.values.push((*name, value.clone()));
            }
        }
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let mut values = self.values.iter();
        values
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Sets a number.
    pub(super) fn count(&mut self, name: &'static str, number: u64) {
        self.values.push((name, Value::Plain(number.to_string())));
    }

    /// Keeps a value under a name of the table; others are left out, whoever wrote them.
    fn keep(&mut self, field: &Field, value: Value) {
        if fields::known(field.name()) {
            self.values.push((field.name(), value));
        }
    }

    fn keep_text(&mut self, field: &Field, text: &dyn fmt::Display) {
        let mut short = Short(String::new());
        // It fails when the value is longer than a line has room for.
        let whole = write!(short, "{text}").is_ok();
        let Short(mut text) = short;
        if !whole {
            text.push('…');
        }
        if field.name() == MESSAGE {
            self.message = text;
        } else {
            self.keep(field, Value::Text(text));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep_text(field, &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep_text(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Value::Plain(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Value::Plain(value.to_string()));
    }
}

/// A text that takes no more than [`LOG_VALUE_BYTES_MAX`]: a long value is not even written.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LOG_VALUE_BYTES_MAX - self.0.len();
        let end = text.floor_char_boundary(room);
        self.0.push_str(&text[..end]);
        if end < text.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

impl Line<'_> {
    /// The line, with its end.
    pub(super) fn written(&self, format: LogFormat, colours: bool) -> String {
        match format {
            LogFormat::Json => self.json(),
            LogFormat::Text => self.text(colours),
        }
    }

    /// One flat object: what every line has first, in the same order.
    fn json(&self) -> String {
        let mut line = format!(
            r#"{{"timestamp":"{}","level":"{}","target":{},"message":{}"#,
            self.at,
            self.level,
            quoted(self.target),
            quoted(&self.fields.message)
        );
        for (name, value) in &self.fields.values {
            let value = match value {
                Value::Plain(value) => value.clone(),
                Value::Text(text) => quoted(text),
            };
            line.push_str(&format!(r#","{name}":{value}"#));
        }
        line.push_str("}\n");
        line
    }

    fn text(&self, colours: bool) -> String {
        let (colour, plain) = match colours {
            true => (colour(self.level), "\x1b[0m"),
            false => ("", ""),
        };
        let mut line = format!(
            "{} {colour}{:>5}{plain} {}: {}",
            self.at,
            self.level.as_str(),
            self.target,
            tame(&self.fields.message)
        );
        for (name, value) in &self.fields.values {
            let value = match value {
                Value::Plain(value) => value.clone(),
                Value::Text(text) if is_word(text) => text.clone(),
                Value::Text(text) => format!("\"{}\"", tame(text)),
            };
            line.push_str(&format!(" {name}={value}"));
        }
        line.push('\n');
        line
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Text that cannot end its line, nor move a terminal's cursor: what a client chose may be in it.
fn tame(text: &str) -> String {
    let mut tame = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => tame.extend(['\\', c]),
            c if c.is_control() => tame.extend(c.escape_default()),
            c => tame.push(c),
        }
    }
    tame
}

/// Whether a value reads the same without quotes.
fn is_word(text: &str) -> bool {
    let plain = |c: char| !(c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\' | '='));
    !text.is_empty() && text.chars().all(plain)
}

fn colour(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "\x1b[31m",
        tracing::Level::WARN => "\x1b[33m",
        tracing::Level::INFO => "\x1b[32m",
        tracing::Level::DEBUG => "\x1b[34m",
        tracing::Level::TRACE => "\x1b[35m",
    }
}
