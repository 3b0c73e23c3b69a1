//! `UserNS=`, `UIDMap=` and `GIDMap=`: which users and groups of the host those of the container are.

use crate::definition::UserNamespace;
use crate::definition::keys::Key;
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::setting::Value;
use crate::sys::user::Extent;

/// What was said so far.
#[derive(Default)]
pub(super) struct Identities {
    /// `UserNS=`, where it was understood.
    pub(super) namespace: Option<(UserNamespace, Span)>,
    /// `UIDMap=`.
    pub(super) users: Vec<(Extent, Span)>,
    /// `GIDMap=`.
    pub(super) groups: Vec<(Extent, Span)>,
}

/// `keep-id[:uid=N,gid=N]`, as Podman has it.
fn keep_id(text: &str) -> Option<UserNamespace> {
    let (mut user, mut group) = (None, None);
    let options = text.strip_prefix("keep-id")?;
    let options = options
        .strip_prefix(':')
        .into_iter()
        .flat_map(|options| options.split(','));
    for option in options {
        let (place, number) = match option.split_once('=')? {
            ("uid", number) => (&mut user, number),
            ("gid", number) => (&mut group, number),
            _ => return None,
        };
        let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        // The last number of all stands for nobody.
        let number = number
            .parse::<u32>()
            .ok()
            .filter(|number| is_plain && *number < u32::MAX)?;
        if place.replace(number).is_some() {
            return None;
        }
    }
    Some(UserNamespace::KeepId { user, group })
}

/// As many extents as user_namespaces(7) takes.
const EXTENTS_MAX: usize = 340;

impl Resolver<'_, '_> {
    /// The value of `UserNS=`.
    pub(super) fn user_namespace(&mut self, key: &Key, value: &Value<'_>) -> Option<(UserNamespace, Span)> {
        let text = self.text(key, value)?;
        let namespace = match text.as_ref() {
            "auto" => UserNamespace::Auto,
            "host" => UserNamespace::Host,
            text if text == "keep-id" || text.starts_with("keep-id:") => match keep_id(text) {
                Some(namespace) => namespace,
                None => {
                    let why = format!("'{text}' is not understood, write 'keep-id' or 'keep-id:uid=200,gid=210'");
                    self.impossible(key, value.span, why);
                    return None;
                }
            },
            "nomap" => {
                self.impossible(
                    key,
                    value.span,
                    "'nomap' is not carried out yet, write 'auto' or 'keep-id'",
                );
                return None;
            }
            _ => {
                let why = format!("'{text}' is not known or not carried out yet, write 'auto', 'host' or 'keep-id'");
                self.impossible(key, value.span, why);
                return None;
            }
        };
        Some((namespace, value.span))
    }

    /// One `INSIDE:OUTSIDE[:COUNT]`.
    pub(super) fn extent(&mut self, key: &Key, text: &str, span: Span) -> Option<(Extent, Span)> {
        let mut numbers = text.split(':').map(|number| {
            let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            number.parse::<u32>().ok().filter(|_| is_plain)
        });
        let (inside, outside, count) = (numbers.next(), numbers.next(), numbers.next());
        let extent = match (inside, outside, count.unwrap_or(Some(1)), numbers.next()) {
            (Some(Some(inside)), Some(Some(outside)), Some(count), None) => Extent { inside, outside, count },
            _ => {
                self.impossible(
                    key,
                    span,
                    format_args!("'{text}' is no map, write INSIDE:OUTSIDE:COUNT in numbers"),
                );
                return None;
            }
        };
        // The last number of all stands for nobody.
        let fits = |first: u32| first.checked_add(extent.count).is_some();
        if extent.count == 0 || !fits(extent.inside) || !fits(extent.outside) {
            self.impossible(
                key,
                span,
                format_args!("'{text}' is empty or goes beyond the last identity"),
            );
            return None;
        }
        Some((extent, span))
    }

    /// What all of it comes to.
    pub(super) fn identities(&mut self, given: Identities) -> UserNamespace {
        let Identities {
            namespace,
            users,
            groups,
        } = given;
        let Some(&(_, last)) = users.last().or(groups.last()) else {
            return namespace.map(|(namespace, _)| namespace).unwrap_or_default();
        };
        if let Some((_, span)) = namespace {
            let message = "'UserNS' cannot stand beside 'UIDMap' and 'GIDMap', remove one of them".to_owned();
            self.report.error(span, message);
        }
        for (name, extents) in [("UIDMap", &users), ("GIDMap", &groups)] {
            self.check_extents(name, extents);
        }
        let extents = |some: &[(Extent, Span)]| some.iter().map(|(extent, _)| *extent).collect::<Vec<_>>();
        // Where only one is given, it holds for both.
        let (users, groups) = match (users.as_slice(), groups.as_slice()) {
            (users, []) => (extents(users), extents(users)),
            ([], groups) => (extents(groups), extents(groups)),
            (users, groups) => (extents(users), extents(groups)),
        };
        if users.iter().chain(&groups).filter(|extent| extent.inside == 0).count() < 2 {
            let message = "the container's root, 0, is not mapped".to_owned();
            let suggestion = Some("add a map that begins with 0:".to_owned());
            self.report.say(
                crate::definition::diagnostic::Severity::Error,
                last,
                message,
                suggestion,
            );
        }
        UserNamespace::Mapped { users, groups }
    }

    fn check_extents(&mut self, name: &str, extents: &[(Extent, Span)]) {
        if let Some((_, span)) = extents.get(EXTENTS_MAX) {
            let message = format!("'{name}' can have at most {EXTENTS_MAX} maps");
            self.report.error(*span, message);
            return;
        }
        let overlap = |one: (u32, u32), other: (u32, u32)| one.0 < other.0 + other.1 && other.0 < one.0 + one.1;
        for (index, (extent, span)) in extents.iter().enumerate() {
            let clashes = |(earlier, _): &(Extent, Span)| {
                overlap((earlier.inside, earlier.count), (extent.inside, extent.count))
                    || overlap((earlier.outside, earlier.count), (extent.outside, extent.count))
            };
            if extents.iter().take(index).any(clashes) {
                let message = format!("'{name}': '{extent}' overlaps an earlier map");
                self.report.error(*span, message);
            }
        }
    }
}
