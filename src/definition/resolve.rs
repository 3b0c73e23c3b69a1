//! Decides what the settings of a definition mean: the same for every front end.
//!
//! Later files stand over earlier ones: a value that can be given once is replaced, others are added to, and an empty string or
//! array takes back what was there, as in systemd's drop-ins. Nothing fails: whatever is wrong is said, and left out.

mod activation;
pub(in crate::definition) mod attachment;
mod container;
mod devices;
mod files;
mod health;
mod identities;
mod idle;
mod install;
mod labels;
mod limits;
mod mount;
mod mounts;
mod names;
mod network;
pub mod network_file;
mod ports;
mod reach;
mod renewal;
mod secrets;
mod serving;
mod sockets;
mod sysctl;
mod systemd;
#[cfg(test)]
mod tests;
mod values;
pub mod volume_file;
mod volumes;

use std::path::Path;

use crate::definition::certainty;
use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::end::CleanEnds;
use crate::definition::keys::{self, Key, Section, Support};
use crate::definition::report::{Report, Span};
use crate::definition::resolve::container::Draft;
use crate::definition::resolve::sockets::SocketDrafts;
use crate::definition::resolve::systemd::Sections;
use crate::definition::setting::{Damage, Data, Header, Setting, Settings, Value};
use crate::definition::{self, Definition, Notify, Root, Socket};
use crate::unitfile::name;

/// What is being resolved: the settings' meaning so far.
struct Resolver<'r, 'a> {
    report: &'r mut Report<'a>,
    /// The directory of the definition, which relative paths of volumes start from.
    directory: &'r Path,
    /// Keys that are set but not carried out, with the last place.
    unsupported: Vec<(&'static Key, Span)>,
    /// Whether there was an Image or a Rootfs, be it a wrong one of which enough is said.
    root: Tried,
    /// How many more addresses the definition's sockets can have.
    addresses_left: usize,
    /// The last key of a section of systemd's that is blamed once for all its values.
    blamed: Option<Span>,
    /// Options that came with this version of systemd.
    too_new: Vec<(u32, Diagnostic)>,
}

/// How many addresses the sockets of one definition can have.
const ADDRESSES_MAX: usize = 1024;

#[derive(PartialEq, Eq)]
enum Tried {
    No,
    Yes,
}

/// The definition that these settings make. `source` is the file as it is named to the administrator.
pub fn resolve(name: &str, source: &Path, settings: &Settings<'_>, report: &mut Report<'_>) -> Definition {
    let mut definition = Definition {
        name: name.to_owned(),
        source: source.to_path_buf(),
        ..Definition::default()
    };
    let mut resolver = Resolver::new(report, source);
    resolver.misplaced(settings);
    let mut draft = Draft::default();
    let mut sections = Sections::default();
    let mut sockets = SocketDrafts::new(&settings.headers, &mut resolver);
    for setting in &settings.settings {
        let key = match keys::find(setting.section, &setting.key) {
            Some(key) if key.support == Support::CarriedOut => Some(key),
            Some(key) => {
                resolver.unsupported.retain(|(earlier, _)| *earlier != key);
                if !setting.value.is_reset() {
                    resolver.unsupported.push((key, setting.key_span));
                }
                continue;
            }
            None => None,
        };
        match (setting.section, key) {
            (Section::Container, Some(key)) => draft.set(key, setting, &mut resolver),
            (Section::Container, None) => resolver.unknown(setting),
            (Section::Network, _) => {}
            (Section::Socket, _) => sockets.set(key, setting, &mut resolver),
            (Section::Unit, _) => resolver.pass_on(setting, &mut sections.unit),
            (Section::Service, _) => resolver.pass_on(setting, &mut sections.service),
            (Section::Timer, _) => resolver.pass_on(setting, &mut sections.timer),
            (Section::Install, _) => resolver.pass_on(setting, &mut sections.install),
            (Section::Volume, _) => {
                let message = "[Volume] belongs in a file of its own, 'NAME.volume.toml', ignoring".to_owned();
                resolver.say_once(Severity::Warning, setting.key_span, message, None);
            }
        }
    }
    resolver.name_unsupported();
    let idle = std::mem::take(&mut draft.idle);
    let ports = draft.finish(&mut definition, &mut sections.service, &mut resolver);
    definition.sockets = sockets.finish(name, definition.container.activation, ports, &mut resolver);
    resolver.idle(&idle, &sections.service, &mut definition, settings);
    definition.too_new = std::mem::take(&mut resolver.too_new);
    resolver.check_notify(&definition, settings);
    resolver.check_health(&definition, settings);
    resolver.check_sockets(&definition, settings);
    resolver.activation(&mut definition, &mut sections, settings);
    resolver.check_propagation(&definition, settings);
    resolver.check_resolver(&definition, settings);
    resolver.check_host_gateway(&definition, settings);
    resolver.check_templates(&definition, settings);
    if definition.container.root == Root::default() && resolver.root == Tried::No && settings.damaged == Damage::None {
        resolver.missing_root(settings);
    }
    let passthrough = &mut definition.passthrough;
    passthrough.unit = resolver.judge(Section::Unit, sections.unit, &definition.sockets);
    passthrough.service = resolver.judge(Section::Service, sections.service, &definition.sockets);
    passthrough.timer = systemd::lines(sections.timer);
    definition.container.clean_ends = CleanEnds::of(&passthrough.service);
    definition.passthrough.certainty = certainty::of(settings, resolver.report);
    definition.passthrough.install = resolver.install(&sections.install, &definition);
    definition.out_of_reach = reach::mistakes(&definition, settings, resolver.report);
    definition.passthrough.unit_places = unit_places(&definition, settings, resolver.report);
    definition
}

/// Where the names of units stand that do not follow from the file's.
fn unit_places(definition: &Definition, settings: &Settings<'_>, report: &Report<'_>) -> Vec<(String, Diagnostic)> {
    let place = |unit: String, span| Some((unit, report.diagnostic(Severity::Error, span, String::new())?));
    let service = definition.passthrough.service_name.as_ref();
    let service = service.zip(last(settings, "ServiceName"));
    let services = service.into_iter().flat_map(|(stem, setting)| {
        ["service", "timer"].map(|kind| place(format!("{stem}.{kind}"), setting.value.span))
    });
    let sockets = definition.sockets.iter().map(|socket| {
        let is_its = |header: &&Header<'_>| {
            let section = header.socket.as_deref();
            section.is_some_and(|section| definition::name::with_suffix(&definition.name, section) == socket.unit)
        };
        let header = settings.headers.iter().find(is_its)?;
        place(format!("{}.socket", socket.unit), header.span)
    });
    services.chain(sockets).flatten().collect()
}

/// The setting that has the last word on a key of `[Container]`.
fn last<'s, 'a>(settings: &'s Settings<'a>, key: &str) -> Option<&'s Setting<'a>> {
    let is_meant = |setting: &&Setting<'_>| setting.section == Section::Container && setting.key == key;
    settings.settings.iter().rfind(is_meant)
}

/// The last value of these keys that is meant, or the last of them; the beginning of the file where there is none.
fn place(settings: &Settings<'_>, keys: &[&str], is_meant: impl Fn(&str) -> bool) -> Span {
    let set = || {
        settings
            .settings
            .iter()
            .rev()
            .filter(|setting| keys.contains(&&*setting.key))
    };
    let found = set().find_map(|setting| find(&setting.value, &is_meant));
    let any = found.or_else(|| set().next().map(|setting| setting.key_span));
    any.unwrap_or(Span {
        file: 0,
        start: 0,
        end: 0,
    })
}

fn find(value: &Value<'_>, is_meant: &impl Fn(&str) -> bool) -> Option<Span> {
    match &value.data {
        Data::Text(text) => is_meant(text).then_some(value.span),
        Data::Integer(number) => is_meant(&number.to_string()).then_some(value.span),
        Data::List(values) => values.iter().rev().find_map(|value| find(value, is_meant)),
        _ => None,
    }
}

impl<'r, 'a> Resolver<'r, 'a> {
    /// Nothing resolved so far of the definition `source`.
    fn new(report: &'r mut Report<'a>, source: &'r Path) -> Self {
        Self {
            report,
            directory: source.parent().unwrap_or(Path::new("/")),
            unsupported: Vec::new(),
            root: Tried::No,
            addresses_left: ADDRESSES_MAX,
            blamed: None,
            too_new: Vec::new(),
        }
    }
}

impl Resolver<'_, '_> {
    /// Says that a section belongs into another file.
    fn misplaced(&mut self, settings: &Settings<'_>) {
        let is_network = |header: &&Header<'_>| header.section == Section::Network;
        for header in settings.headers.iter().filter(is_network) {
            let message = "[Network] means nothing in a container's definition, ignoring".to_owned();
            let suggestion = Some("a network's definition is 'NAME.network.toml'".to_owned());
            self.report.say(Severity::Warning, header.span, message, suggestion);
        }
    }

    /// Says that keys are not carried out, once for each.
    fn name_unsupported(&mut self) {
        for (key, span) in std::mem::take(&mut self.unsupported) {
            let (severity, what, hint) = match key.support {
                Support::CarriedOut => continue,
                Support::NotYet { severity, meanwhile } => (severity, "is not carried out yet".to_owned(), meanwhile),
                Support::Never {
                    severity,
                    reason,
                    instead,
                } => (
                    severity,
                    format!("in [{}] is not supported: {reason}", key.section),
                    instead,
                ),
            };
            let end = match severity {
                Severity::Warning => ", ignoring",
                Severity::Error => ", refusing to start without it",
            };
            let suggestion = (!hint.is_empty()).then(|| hint.to_owned());
            self.report
                .say(severity, span, format!("key '{}' {what}{end}", key.name), suggestion);
        }
    }

    /// Says that a key of `[Container]` is not known.
    fn unknown(&mut self, setting: &Setting<'_>) {
        let section = setting.section;
        let key = if self.report.is_full() { "" } else { &setting.key };
        let suggestion = keys::nearest(section, key)
            .map(|near| format!("did you mean '{}'?", near.name))
            .or_else(|| {
                keys::all()
                    .find(|known| known.name == key)
                    .map(|known| format!("it belongs in [{}]", known.section))
            });
        let message = format!("unknown key '{}' in [{section}], ignoring", setting.key);
        self.report
            .say(Severity::Warning, setting.key_span, message, suggestion);
    }

    /// Whether so many more addresses are not too many; says so where they are.
    fn takes_addresses(&mut self, count: usize, span: Span) -> bool {
        match self.addresses_left.checked_sub(count) {
            Some(left) => {
                self.addresses_left = left;
                true
            }
            None => {
                let message = format!("a definition's sockets can have at most {ADDRESSES_MAX} addresses");
                self.report.error(span, message);
                false
            }
        }
    }

    /// Says that a start cannot wait for listening where nothing is listened on.
    fn check_notify(&mut self, definition: &Definition, settings: &Settings<'_>) {
        if definition.container.notify != Some(Notify::Listening) || !definition.sockets.is_empty() {
            return;
        }
        if let (Some(setting), Damage::None) = (last(settings, "Notify"), settings.damaged) {
            let message = "'Notify' cannot be 'listening' in a definition without sockets".to_owned();
            let suggestion = Some("write 'started' or 'yes', or publish a port with PublishPort".to_owned());
            self.report
                .say(Severity::Error, setting.value.span, message, suggestion);
        }
    }

    /// Says that a service is no template though its sockets are, or the other way round: an instance would start none.
    fn check_templates(&mut self, definition: &Definition, settings: &Settings<'_>) {
        if definition.accepts() {
            return;
        }
        let stem = definition.stem();
        let is_other = |socket: &&Socket| name::is_template(&socket.unit) != name::is_template(stem);
        let other = definition.sockets.iter().find(is_other);
        if let (Some(socket), Some(setting)) = (other, last(settings, "ServiceName")) {
            let unit = &socket.unit;
            let message = format!("'{unit}.socket' and '{stem}.service' must both be templates or neither");
            self.report.error(setting.value.span, message);
        }
    }

    /// Says that a definition has neither image nor directory.
    fn missing_root(&mut self, settings: &Settings<'_>) {
        let message = "[Container] has neither Image nor Rootfs";
        let suggestion = Some("write for example Image = \"docker.io/library/nginx\"".to_owned());
        match settings
            .headers
            .iter()
            .find(|header| header.section == Section::Container)
        {
            Some(header) => self
                .report
                .say(Severity::Error, header.span, message.to_owned(), suggestion),
            None => {
                let message = "there is no [Container] section with an Image or a Rootfs".to_owned();
                self.report.whole_file(Severity::Error, 0, message);
            }
        }
    }
}
