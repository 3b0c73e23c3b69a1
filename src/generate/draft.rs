//! One definition on its way to units: what it would write, and what is wrong with it.
//!
//! A draft is complete even where another definition claims the same names; only [`crate::generate::generate`], which sees all of
//! them, decides whether it is used.

use serde::Serialize;

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::places::Loaded;
use crate::definition::{self, Definition};
use crate::generate::{Context, service, socket, timer};
use crate::unitfile::name;

/// What one definition becomes.
#[derive(Debug)]
pub struct Draft<'a> {
    loaded: &'a Loaded,
    /// The service's name without its suffix: the definition's, or what is made of it where it can be no unit's.
    pub stem: String,
    /// The service's full name.
    service: String,
    /// File name and text, if it is not broken.
    pub files: Vec<(String, String)>,
    /// Install links.
    pub links: Vec<(String, String)>,
    /// The parser's, and ours that concern the whole file or several.
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a> Draft<'a> {
    /// Drafts all units of a definition.
    #[must_use]
    pub fn new(loaded: &'a Loaded, context: &Context) -> Self {
        let wanted = loaded.definition.stem();
        let mut draft = Self {
            loaded,
            stem: wanted.to_owned(),
            service: [wanted, ".service"].concat(),
            files: Vec::new(),
            links: Vec::new(),
            diagnostics: loaded.diagnostics.clone(),
        };
        if !name::is_valid(&draft.service) {
            draft.refuse_name(wanted);
            draft.stem = definition::name::escape(wanted.as_bytes());
            draft.service = [&draft.stem, ".service"].concat();
        }
        for (scope, diagnostic) in &loaded.definition.out_of_reach {
            if *scope == context.scope {
                draft.place(diagnostic.clone());
            }
        }
        if !draft.is_broken() {
            draft.write(context);
        }
        draft
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &'a Definition {
        &self.loaded.definition
    }

    /// Whether any diagnostic is an error.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// The service's full name.
    #[must_use]
    pub fn unit(&self) -> String {
        self.service.clone()
    }

    /// The file names that it claims: of a broken one, its service's.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        let is_broken = self.is_broken();
        let service = Some(self.service.as_str()).filter(|_| is_broken);
        let files = self
            .files
            .iter()
            .filter(move |_| !is_broken)
            .map(|(name, _)| name.as_str());
        service.into_iter().chain(files)
    }

    /// The same as a list.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.claims().map(str::to_owned).collect()
    }

    /// Adds a diagnostic about the file as a whole.
    pub fn say(&mut self, severity: Severity, message: String, suggestion: Option<String>) {
        let diagnostic = Diagnostic::whole_file(severity, &self.definition().source, message);
        self.diagnostics.push(Diagnostic {
            suggestion,
            ..diagnostic
        });
    }

    /// Adds a diagnostic about the name of a unit, where that stands in the file.
    pub fn say_of_unit(&mut self, unit: &str, severity: Severity, message: String, suggestion: Option<String>) {
        let definition = self.definition();
        let passthrough = &definition.passthrough;
        let mut places = passthrough.unit_places.iter().chain(&passthrough.install.places);
        let place = places.find(|(name, _)| name == unit);
        let diagnostic = Diagnostic::at(place.map(|(_, place)| place), severity, &definition.source, message);
        self.place(Diagnostic {
            suggestion,
            ..diagnostic
        });
    }

    /// Adds a diagnostic that has a place, behind those above it.
    pub fn place(&mut self, diagnostic: Diagnostic) {
        let drop_ins = &self.loaded.definition.drop_ins;
        let order = diagnostic.order(drop_ins);
        let above = self.diagnostics.iter().rposition(|one| one.order(drop_ins) <= order);
        self.diagnostics.insert(above.map_or(0, |index| index + 1), diagnostic);
    }

    /// Adds a file of that name.
    pub fn add(&mut self, name: String, text: String) {
        self.files.push((name, text));
    }

    fn write(&mut self, context: &Context) {
        service::draft(self, context);
        for one in &self.definition().sockets {
            socket::draft(self, one);
        }
        timer::draft(self);
        match json(&Sound::Container(self.definition())) {
            Ok(text) => self.add([&self.stem, ".json"].concat(), text),
            // Strings, numbers and lists only: nothing that JSON cannot hold, except a path that is not UTF-8.
            Err(error) => self.say(Severity::Error, format!("it cannot be written as JSON: {error}"), None),
        }
        // Drafts come in the order of their names, and so do all files then: what is in order is sorted in no time.
        self.files.sort_unstable();
    }

    fn refuse_name(&mut self, wanted: &str) {
        let message = if wanted.len() + ".service".len() > name::NAME_MAX {
            format!("the name '{wanted}' is too long for a unit")
        } else {
            format!("'{wanted}' cannot be a unit's name")
        };
        let suggestion =
            "rename the file: letters, digits and ':', '-', '_', '.' may be in it, and '@' before an instance";
        self.say(Severity::Error, message, Some(suggestion.to_owned()));
    }
}

/// [`Resolved::Container`](crate::definition::Resolved::Container) without a copy of the definition.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Sound<'a> {
    Container(&'a Definition),
}

/// The resolved definition as one line, which is what the shim reads fastest.
///
/// # Errors
/// A path that is not UTF-8.
pub fn json(resolved: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(resolved).map(|text| text + "\n")
}
