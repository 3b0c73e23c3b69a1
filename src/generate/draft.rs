//! One definition on its way to units: what it would write, and what is wrong with it.
//!
//! A draft is complete even where another definition claims the same names; only [`crate::generate::generate`], which sees all of
//! them, decides whether it is used.

use serde::Serialize;

use crate::definition::certainty::Certainty;
use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::install::Install;
use crate::definition::places::Loaded;
use crate::definition::{self, Definition};
use crate::generate::{Context, broken, proxy, service, socket, timer};
use crate::unitfile::name;

/// What becomes of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All units of a container.
    Sound,
    /// It has mistakes that leave its sockets alone: those, and a service that fails.
    Open,
    /// It has others: a service that fails.
    Shut,
}

/// What one definition becomes.
#[derive(Debug)]
pub struct Draft<'a> {
    loaded: &'a Loaded,
    /// The service's name without its suffix: the definition's, or what is made of it where it can be no unit's.
    pub stem: String,
    /// The full name of the service that it is, or becomes if it is broken. Where each connection has a service of its own, that is none
    /// of these: nobody connects to one that is shut.
    service: String,
    fate: Fate,
    /// File name and text, unless it is shut.
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
            fate: Fate::Sound,
            files: Vec::new(),
            links: Vec::new(),
            diagnostics: loaded.diagnostics.clone(),
        };
        let is_named = name::is_valid(&draft.service);
        if !is_named {
            draft.refuse_name(wanted);
            draft.stem = definition::name::escape(wanted.as_bytes());
            draft.service = [&draft.stem, ".service"].concat();
        } else if loaded.definition.accepts() {
            draft.service = [&loaded.definition.name, ".service"].concat();
        }
        for (scope, diagnostic) in &loaded.definition.out_of_reach {
            if *scope == context.scope {
                draft.place(diagnostic.clone());
            }
        }
        for (version, diagnostic) in &loaded.definition.too_new {
            if context.systemd_version < *version {
                let mut diagnostic = diagnostic.clone();
                let running = format!(" (here is {})", context.systemd_version);
                diagnostic.message.push_str(&running);
                draft.place(diagnostic);
            }
        }
        if context.systemd_version < Install::UPHELD_SINCE {
            for diagnostic in &loaded.definition.passthrough.install.not_upheld {
                draft.place(diagnostic.clone());
            }
        }
        draft.fate = match draft.diagnostics.iter().any(|d| d.severity == Severity::Error) {
            false => Fate::Sound,
            true if is_named && has_certain_sockets(&loaded.definition) => Fate::Open,
            true => Fate::Shut,
        };
        match draft.fate {
            Fate::Sound => draft.write(context),
            Fate::Open => broken::draft(&mut draft, context),
            Fate::Shut => {}
        }
        // Drafts come in the order of their names, and so do all files then: what is in order is sorted in no time.
        draft.files.sort_unstable();
        draft
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &'a Definition {
        &self.loaded.definition
    }

    /// What becomes of it, as far as is known.
    #[must_use]
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// Whether any diagnostic is an error.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.fate != Fate::Sound
    }

    /// Leaves nothing of it but a service that fails.
    pub fn shut(&mut self) {
        self.fate = Fate::Shut;
        self.files.clear();
    }

    /// The service's full name, by which it is spoken of.
    #[must_use]
    pub fn unit(&self) -> String {
        self.service.clone()
    }

    /// The name without suffix of the service that a broken one becomes.
    #[must_use]
    pub fn failing_stem(&self) -> &str {
        self.service.strip_suffix(".service").unwrap_or_default()
    }

    /// The file names that no other definition may have: of a broken one, its service's.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        let is_broken = self.is_broken();
        let service = Some(self.service.as_str()).filter(|_| is_broken);
        let files = self.files.iter().filter(move |_| !is_broken);
        service.into_iter().chain(files.map(|(name, _)| name.as_str()))
    }

    /// The names of the files that it would have.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let service = Some(self.service.as_str()).filter(|_| self.fate == Fate::Shut);
        service
            .into_iter()
            .chain(self.files.iter().map(|(name, _)| name.as_str()))
    }

    /// Adds a diagnostic about the file as a whole.
    pub fn say(&mut self, severity: Severity, message: String, suggestion: Option<String>) {
        self.take_to_heart(severity);
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
        self.take_to_heart(diagnostic.severity);
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
            socket::draft(self, one, context);
        }
        if self.definition().is_proxied() {
            proxy::draft(self, context);
        }
        timer::draft(self, context);
        match json(&Sound::Container(self.definition())) {
            Ok(text) => self.add([&self.stem, ".json"].concat(), text),
            // Strings, numbers and lists only: nothing that JSON cannot hold, except a path that is not UTF-8.
            Err(error) => self.say(Severity::Error, format!("it cannot be written as JSON: {error}"), None),
        }
    }

    /// A mistake between definitions: nobody can say whose the names are.
    fn take_to_heart(&mut self, severity: Severity) {
        if severity == Severity::Error {
            self.shut();
        }
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

/// Whether a definition with mistakes has sockets that these have nothing to do with.
fn has_certain_sockets(definition: &Definition) -> bool {
    definition.passthrough.certainty == Certainty::Certain && !definition.sockets.is_empty()
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
