//! What a file sets, before it is decided what that means: the form that every front end produces.
//!
//! A value keeps its type and its place. Nothing here knows which keys exist.

use std::borrow::Cow;

use crate::definition::keys::Section;
use crate::definition::report::Span;

/// All that the files of one definition set, in the order of the files and of their lines.
#[derive(Debug, Default)]
pub struct Settings<'a> {
    /// The sections that occur, even if nothing is set in them.
    pub headers: Vec<Header<'a>>,
    /// The settings.
    pub settings: Vec<Setting<'a>>,
    /// Something could not be read at all, so what seems to be missing may be there.
    pub damaged: Damage,
    /// Where that was said.
    pub damages: Vec<Span>,
}

impl<'a> Settings<'a> {
    /// The setting that a byte of a file is part of.
    #[must_use]
    pub fn at(&self, file: usize, byte: usize) -> Option<&Setting<'a>> {
        self.settings.iter().find(|setting| {
            let (key, value) = (setting.key_span, setting.value.span);
            key.file == file && (key.start..value.end).contains(&byte)
        })
    }
}

/// Whether a file could be read to its end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// All of it was understood.
    #[default]
    None,
    /// Some of it was skipped, and said so; none of that was about sockets.
    Apart,
    /// Some of it was skipped, and said so.
    Some,
}

/// The beginning of a section.
#[derive(Debug)]
pub struct Header<'a> {
    /// Which section.
    pub section: Section,
    /// `NAME` of `[Socket.NAME]`.
    pub socket: Option<Cow<'a, str>>,
    /// Where.
    pub span: Span,
}

/// One `Key = value`.
#[derive(Debug)]
pub struct Setting<'a> {
    /// The section it stands in.
    pub section: Section,
    /// `NAME` of `[Socket.NAME]`.
    pub socket: Option<Cow<'a, str>>,
    /// The key as it was written.
    pub key: Cow<'a, str>,
    /// Where the key is.
    pub key_span: Span,
    /// The value.
    pub value: Value<'a>,
}

/// A value with its place.
#[derive(Debug)]
pub struct Value<'a> {
    /// What it is.
    pub data: Data<'a>,
    /// Where.
    pub span: Span,
}

/// A value's type and content.
#[derive(Debug)]
pub enum Data<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction, as it was written.
    Float(Cow<'a, str>),
    /// True or false.
    Boolean(bool),
    /// A date or a time, which no key takes.
    Date,
    /// An array.
    List(Vec<Value<'a>>),
    /// A table, in the order of the file.
    Map(Vec<(Cow<'a, str>, Span, Value<'a>)>),
}

impl Value<'_> {
    /// What the file's author would call the type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.data {
            Data::Text(_) => "a string",
            Data::Integer(_) => "a number",
            Data::Float(_) => "a number with a fraction",
            Data::Boolean(_) => "true or false",
            Data::Date => "a date",
            Data::List(_) => "an array",
            Data::Map(_) => "a table",
        }
    }

    /// Whether it takes back what was set before: an empty string or array, as in systemd's drop-ins.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        match &self.data {
            Data::Text(text) => text.is_empty(),
            Data::List(list) => list.is_empty(),
            _ => false,
        }
    }
}
