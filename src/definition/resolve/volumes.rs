//! `Volume=`: what is mounted, where, and which options mean something.
//!
//! An option whose absence would open something or lose data (`O`) is an error while it is not carried out, others are named and left out.

use std::path::{Component, Path, PathBuf};

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Key;
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::resolve::values::is_absolute;
use crate::definition::volume::{self, Copying, Label, Named, Owner, Settings, Source, Volume};
use crate::definition::{Exec, Owners, Propagation};

impl Resolver<'_, '_> {
    /// One `[SOURCE:]TARGET[:OPTIONS]`.
    pub(super) fn volume(&mut self, key: &Key, text: &str, span: Span) -> Option<Volume> {
        let mut parts = text.splitn(3, ':');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let options = parts.next().unwrap_or_default().split(',');
        match second {
            None => self.mounted(key, (Source::Anonymous(Copying::Copy), first), [""], span),
            Some(target) => {
                let source = self.source(key, first, span)?;
                self.mounted(key, (source, target), options, span)
            }
        }
    }

    /// A path of the host, or the name of a volume.
    pub(super) fn source(&mut self, key: &Key, source: &str, span: Span) -> Option<Source> {
        if is_absolute(source) && !is_pattern(source) {
            return Some(Source::Path(PathBuf::from(source)));
        }
        if source.starts_with('.') {
            return Some(Source::Path(self.directory.join(source)));
        }
        let message = format!("'{}': there is no volume '{source}'", key.name);
        let place = self.report.diagnostic(Severity::Error, span, message);
        if let Some(stem) = source.strip_suffix(".volume") {
            let suggestion =
                format!("define it in a file '{source}.toml', or write '{stem}' for a volume without a definition");
            return Some(Source::Named(Named {
                name: stem.to_owned(),
                settings: Settings::default(),
                stem: Some(stem.to_owned()),
                place: place.map(|place| place.suggesting(suggestion)),
            }));
        }
        if !is_pattern(source) {
            let why = format!(
                "'{source}' is neither a path of the host, which begins with '/' or '.', nor the name of a volume, which is made \
                 of letters, digits and '_', '.', '-'"
            );
            self.impossible(key, span, why);
            return None;
        }
        Some(Source::Named(Named {
            name: source.to_owned(),
            settings: Settings::default(),
            stem: None,
            place,
        }))
    }

    /// A volume with its target and options.
    pub(super) fn mounted<'o>(
        &mut self,
        key: &Key,
        (source, target): (Source, &str),
        options: impl IntoIterator<Item = &'o str>,
        span: Span,
    ) -> Option<Volume> {
        let target = self.target(key, target, span)?;
        let mut volume = Volume {
            source,
            target,
            read_only: false,
            owners: Owners::Inside,
            propagation: Propagation::Private,
            exec: Exec::Allowed,
            subpath: None,
            owner: Owner::Any,
            label: Label::Kept,
        };
        for option in options {
            self.option(key, &mut volume, option, span)?;
        }
        if volume.owners == Owners::Outside && !matches!(volume.source, Source::Path(_)) {
            let why =
                "option 'noidmap' is for paths of the host: the owners of a volume's files are always the container's";
            self.impossible(key, span, why);
            return None;
        }
        Some(volume)
    }

    /// Takes one option; nothing if it is one that cannot be left out.
    fn option(&mut self, key: &Key, volume: &mut Volume, option: &str, span: Span) -> Option<()> {
        match option {
            // Always so: nobody gains rights by a set-user-ID bit, and devices are added with AddDevice.
            "" | "bind" | "rbind" | "nosuid" | "nodev" => {}
            "rw" => volume.read_only = false,
            "ro" => volume.read_only = true,
            "idmap" => volume.owners = Owners::Inside,
            "noidmap" => volume.owners = Owners::Outside,
            "exec" => volume.exec = Exec::Allowed,
            "noexec" => volume.exec = Exec::Denied,
            "private" | "rprivate" => volume.propagation = Propagation::Private,
            "slave" | "rslave" => volume.propagation = Propagation::Slave,
            "shared" | "rshared" => volume.propagation = Propagation::Shared,
            "z" => volume.label = Label::OfContainers,
            "Z" => volume.label = Label::OfThisOne,
            "U" => volume.owner = Owner::Program,
            "copy" | "nocopy" => {
                let copy = if option == "copy" {
                    Copying::Copy
                } else {
                    Copying::Nothing
                };
                match &mut volume.source {
                    Source::Named(named) => named.settings.copy = copy,
                    Source::Anonymous(copying) => *copying = copy,
                    Source::Path(_) => {
                        let message = format!(
                            "'{}': option '{option}' means nothing on a path of the host, ignoring",
                            key.name
                        );
                        self.report.warning(span, message);
                    }
                    Source::Image { .. } => {
                        let message = format!("'{}': option '{option}' means nothing on an image, ignoring", key.name);
                        self.report.warning(span, message);
                    }
                }
            }
            "suid" | "dev" => {
                let message = format!("'{}': volumes are always 'no{option}', ignoring", key.name);
                let suggestion = (option == "dev").then(|| "use AddDevice for devices".to_owned());
                self.report.say(Severity::Warning, span, message, suggestion);
            }
            "cached" | "delegated" | "consistent" => {
                let message = format!("'{}': option '{option}' means nothing here, ignoring", key.name);
                self.report.warning(span, message);
            }
            _ => match option.strip_prefix("subpath=") {
                Some(path) => volume.subpath = Some(self.subpath(key, &volume.source, path, span)?),
                None => {
                    let why = format!(
                        "option '{option}' is not known or not carried out yet, write 'ro', 'noexec', 'noidmap', 'nocopy', 'rslave' or nothing"
                    );
                    self.impossible(key, span, why);
                    return None;
                }
            },
        }
        Some(())
    }

    /// A directory or file within a volume.
    fn subpath(&mut self, key: &Key, source: &Source, path: &str, span: Span) -> Option<PathBuf> {
        let is_plain = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::RootDir);
        let why = match source {
            Source::Path(_) => "'subpath' means nothing on a path of the host, write it into the path".to_owned(),
            _ if path.is_empty() || !Path::new(path).components().all(|part| is_plain(&part)) => {
                format!("the subpath '{path}' must not be empty or hold '.' or '..'")
            }
            _ => {
                let parts = Path::new(path).components();
                return Some(parts.filter(|part| *part != Component::RootDir).collect());
            }
        };
        self.impossible(key, span, why);
        None
    }
}

/// Whether this can be a volume's name when its specifiers are known.
fn is_pattern(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '%').collect();
    volume::is_name(&plain)
}
