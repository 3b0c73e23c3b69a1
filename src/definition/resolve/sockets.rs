//! The sockets of a definition: `PublishPort=`, `[Socket]` and `[Socket.NAME]` together.
//!
//! `PublishPort=` and `[Socket]` share one unit, named as the definition: the published ports come first, then what `[Socket]`
//! listens on, and its other keys hold for both. Each `[Socket.NAME]` is a unit of its own, so that descriptors can be told apart by
//! name. No two sockets of a definition have the same name or listen on the same address.

use std::collections::HashSet;

use crate::definition::diagnostic::Severity;
use crate::definition::keys::{Key, Section};
use crate::definition::name;
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::resolve::ports::{self, Mistake};
use crate::definition::resolve::systemd::{self, Given};
use crate::definition::setting::{Data, Header, Setting};
use crate::definition::{Activation, ContainerAddress, Listen, Socket, SocketKind};

/// The longest name of a descriptor (sd_listen_fds(3)).
const NAME_MAX: usize = 255;

/// How many sections of sockets a definition can have.
const SOCKETS_MAX: usize = 64;

/// The sockets so far, in the order of the file.
pub(super) struct SocketDrafts {
    drafts: Vec<SocketDraft>,
}

#[derive(Default)]
struct SocketDraft {
    /// `NAME` of `[Socket.NAME]`.
    section: Option<String>,
    span: Option<Span>,
    listens: Vec<ListenDraft>,
    tried: Tried,
    container: Vec<(String, Span)>,
    descriptor_name: Option<(String, Span)>,
    accept: Option<(bool, Span)>,
    options: Vec<Given>,
}

/// Whether there was an address, be it a wrong one of which enough is said.
#[derive(Default, PartialEq, Eq)]
enum Tried {
    #[default]
    No,
    Yes,
}

struct ListenDraft {
    kind: SocketKind,
    address: String,
    container: Option<ContainerAddress>,
    span: Span,
}

impl SocketDrafts {
    /// Sockets for these sections.
    pub(super) fn new(headers: &[Header<'_>], to: &mut Resolver<'_, '_>) -> Self {
        let mut drafts: Vec<SocketDraft> = Vec::new();
        for header in headers.iter().filter(|header| header.section == Section::Socket) {
            let is_known = |draft: &SocketDraft| draft.section.as_deref() == header.socket.as_deref();
            if drafts.iter().any(is_known) {
                continue;
            }
            if drafts.len() >= SOCKETS_MAX {
                let message = format!("a definition can have at most {SOCKETS_MAX} sections of sockets");
                to.report.error(header.span, message);
                break;
            }
            drafts.push(SocketDraft {
                section: header.socket.as_deref().map(str::to_owned),
                span: Some(header.span),
                ..SocketDraft::default()
            });
        }
        Self { drafts }
    }

    /// Takes one setting of `[Socket]` or `[Socket.NAME]`.
    pub(super) fn set(&mut self, key: Option<&Key>, setting: &Setting<'_>, to: &mut Resolver<'_, '_>) {
        let section = setting.socket.as_deref();
        let Some(draft) = self.drafts.iter_mut().find(|draft| draft.section.as_deref() == section) else {
            return;
        };
        let value = &setting.value;
        let Some(key) = key else {
            to.pass_on(setting, &mut draft.options);
            return;
        };
        match key.name {
            "ListenStream" => draft.listen(SocketKind::Stream, key, setting, to),
            "ListenDatagram" => draft.listen(SocketKind::Datagram, key, setting, to),
            "ListenSequentialPacket" => draft.listen(SocketKind::SequentialPacket, key, setting, to),
            "ListenFIFO" => draft.listen(SocketKind::Fifo, key, setting, to),
            "ContainerListen" => {
                if value.is_reset() {
                    draft.container.clear();
                    return;
                }
                let texts = to.texts(key, value);
                draft
                    .container
                    .extend(texts.into_iter().map(|(text, span)| (text.into_owned(), span)));
            }
            "FileDescriptorName" if value.is_reset() => draft.descriptor_name = None,
            "FileDescriptorName" => {
                if let Some(text) = to.text(key, value) {
                    draft.descriptor_name = Some((text.into_owned(), value.span));
                }
            }
            "Accept" => match value.data {
                Data::Boolean(accepts) => draft.accept = Some((accepts, value.span)),
                _ if value.is_reset() => draft.accept = None,
                _ => to.wrong_type(key, value),
            },
            _ => to.pass_on(setting, &mut draft.options),
        }
    }

    /// The sockets, the published ports among them.
    pub(super) fn finish(
        mut self,
        definition: &str,
        activation: Option<Activation>,
        published: Vec<(Listen, Span)>,
        to: &mut Resolver<'_, '_>,
    ) -> Vec<Socket> {
        if !published.is_empty() && !self.drafts.iter().any(|draft| draft.section.is_none()) {
            self.drafts.insert(0, SocketDraft::default());
        }
        let mut published = Some(published);
        let mut sockets: Vec<Socket> = Vec::new();
        let mut addresses = HashSet::new();
        for mut draft in self.drafts {
            let Some((name, unit)) = draft.names(definition, to) else {
                continue;
            };
            let mut listens = match draft.section {
                None => published.take().unwrap_or_default(),
                Some(_) => Vec::new(),
            };
            draft.check_accept(activation, to);
            listens.extend(draft.pair(activation, to));
            for (listen, span) in &listens {
                if !addresses.insert((listen.kind as u8, listen.address.clone())) {
                    to.report
                        .error(*span, format!("the address '{}' is listened on twice", listen.address));
                }
            }
            let span = draft.span.unwrap_or_default();
            for given in &draft.options {
                to.note_too_new(Section::Socket, given);
            }
            if listens.is_empty() {
                draft.without_addresses(span, to);
                continue;
            }
            if sockets.iter().any(|socket| socket.name == name) {
                let message =
                    format!("two sockets have the name '{name}', give one of them another with FileDescriptorName");
                to.report.error(span, message);
            }
            sockets.push(Socket {
                name,
                unit,
                listen: listens.into_iter().map(|(listen, _)| listen).collect(),
                options: systemd::lines(draft.options),
            });
        }
        sockets
    }
}

impl SocketDraft {
    fn listen(&mut self, kind: SocketKind, key: &Key, setting: &Setting<'_>, to: &mut Resolver<'_, '_>) {
        if setting.value.is_reset() {
            // In systemd an empty value takes back the addresses of every type.
            self.listens.clear();
            return;
        }
        self.tried = Tried::Yes;
        for (text, span) in to.texts(key, &setting.value) {
            let address = match kind {
                SocketKind::Fifo => ports::fifo(&text).map(|path| (path, Some(ContainerAddress::Nothing))),
                _ => ports::listen(&text),
            };
            match address {
                Ok((address, _)) if kind == SocketKind::SequentialPacket && !address.starts_with(['/', '@', 'v']) => {
                    let why = format!("'{text}': sequential packets are for Unix and vsock sockets only");
                    let suggestion = Some("write ListenStream or ListenDatagram for a port".to_owned());
                    say(to, key.name, span, Mistake { why, suggestion });
                }
                Ok(_) if !to.takes_addresses(1, span) => return,
                Ok((address, container)) => self.listens.push(ListenDraft {
                    kind,
                    address,
                    container,
                    span,
                }),
                Err(mistake) => say(to, key.name, span, mistake),
            }
        }
    }

    /// Each address with what the payload binds for it.
    fn pair(&mut self, activation: Option<Activation>, to: &mut Resolver<'_, '_>) -> Vec<(Listen, Span)> {
        // Bytes that are copied, and a connection that is handed over, come from whatever family.
        let is_same_socket = !matches!(activation, Some(Activation::Proxy | Activation::Accept));
        let inner = std::mem::take(&mut self.container);
        let listens = std::mem::take(&mut self.listens);
        if let (true, Some((_, span))) = (inner.len() > 1 && inner.len() != listens.len(), inner.first()) {
            let message = format!(
                "'ContainerListen' has {} addresses for the {} that are listened on, write as many or a single one",
                inner.len(),
                listens.len()
            );
            to.report.error(*span, message);
            return Vec::new();
        }
        let mut pairs = Vec::new();
        for (index, listen) in listens.into_iter().enumerate() {
            let container = match inner.get(index).or(inner.first()) {
                _ if listen.kind == SocketKind::Fifo => ContainerAddress::Nothing,
                Some((text, span)) => match ports::container(text, listen.kind) {
                    Ok(address) => address,
                    Err(mistake) => {
                        say(to, "ContainerListen", *span, mistake);
                        continue;
                    }
                },
                None => match listen.container {
                    Some(address) => address,
                    None => {
                        let message = format!("which port the program binds for '{}' is not known", listen.address);
                        let suggestion = Some("write it with ContainerListen".to_owned());
                        to.report.say(Severity::Error, listen.span, message, suggestion);
                        continue;
                    }
                },
            };
            let is_one_family = family(&listen.address) == family(&container.to_string());
            if is_same_socket && listen.kind != SocketKind::Fifo && !is_one_family {
                let message = format!(
                    "'{}' and '{container}' are of different families: the program gets the socket as systemd made it",
                    listen.address
                );
                let suggestion = Some("write two ports, two paths or two vsock addresses".to_owned());
                to.report.say(Severity::Error, listen.span, message, suggestion);
                continue;
            }
            pairs.push((
                Listen {
                    kind: listen.kind,
                    address: listen.address,
                    container,
                },
                listen.span,
            ));
        }
        pairs
    }

    /// Says that systemd's key and ours do not agree.
    fn check_accept(&self, activation: Option<Activation>, to: &mut Resolver<'_, '_>) {
        let accepts = activation == Some(Activation::Accept);
        let Some((_, span)) = self.accept.filter(|(said, _)| *said != accepts) else {
            return;
        };
        let (message, suggestion) = match accepts {
            true => (
                "'Accept' is false, but 'Activation' in [Container] is 'accept'",
                "remove one of them",
            ),
            false => (
                "a container for each connection (Accept) is a matter of the whole definition",
                "write Activation = \"accept\" in [Container]",
            ),
        };
        let suggestion = Some(suggestion.to_owned());
        to.report.say(Severity::Error, span, message.to_owned(), suggestion);
    }

    /// The descriptor's name and the unit's.
    fn names(&self, definition: &str, to: &mut Resolver<'_, '_>) -> Option<(String, String)> {
        let (default, unit) = match &self.section {
            // A descriptor's name cannot hold a colon, a unit's can.
            None => (name::prefix(definition).replace(':', "_"), definition.to_owned()),
            Some(section) => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let unit = name::with_suffix(definition, section);
                if section.is_empty() || !section.chars().all(is_name) || name::mistake(&unit).is_some() {
                    let message = format!(
                        "'{section}' cannot be the name of a socket, which is made of letters, digits, '_' and '-'"
                    );
                    to.report.error(self.span.unwrap_or_default(), message);
                    return None;
                }
                (section.clone(), unit)
            }
        };
        match &self.descriptor_name {
            None => Some((default, unit)),
            Some((name, span)) => {
                let is_good = |c: char| c.is_ascii() && !c.is_ascii_control() && c != ':' && c != '%';
                if name.chars().all(is_good) && name.len() <= NAME_MAX {
                    return Some((name.clone(), unit));
                }
                let message = format!(
                    "'FileDescriptorName': '{name}' must be ASCII without ':' and '%', at most {NAME_MAX} characters"
                );
                to.report.error(*span, message);
                None
            }
        }
    }

    /// Says that a section listens on nothing, unless it is only there for those below it.
    fn without_addresses(&self, span: Span, to: &mut Resolver<'_, '_>) {
        let section = match &self.section {
            Some(section) => format!("[Socket.{section}]"),
            None if self.options.is_empty() => return,
            None => "[Socket]".to_owned(),
        };
        if self.tried == Tried::Yes {
            return;
        }
        let message = format!("{section} listens on nothing");
        let suggestion = Some("write ListenStream in it, or PublishPort in [Container]".to_owned());
        to.report.say(Severity::Error, span, message, suggestion);
    }
}

/// Families of addresses between which a socket cannot change.
#[derive(PartialEq, Eq)]
enum Family {
    Internet,
    Unix,
    Vsock,
}

fn family(address: &str) -> Family {
    // A path may stand behind a specifier.
    match address {
        _ if address.starts_with("vsock:") => Family::Vsock,
        _ if address.starts_with('@') || address.contains('/') => Family::Unix,
        _ => Family::Internet,
    }
}

fn say(to: &mut Resolver<'_, '_>, key: &str, span: Span, mistake: Mistake) {
    let message = format!("'{key}': {}", mistake.why);
    to.report.say(Severity::Error, span, message, mistake.suggestion);
}
