//! `AppArmor=`, `SecurityLabel…=`, `AbstractSockets=`: what the container is called to the kernel's security modules.

use crate::definition::keys::Key;
use crate::definition::label::{AbstractSockets, AppArmor};
use crate::definition::resolve::Resolver;
use crate::definition::setting::Value;

impl Resolver<'_, '_> {
    /// A profile's name, or `unconfined`. Whether it is loaded is seen at the start.
    pub(super) fn app_armor(&mut self, key: &Key, value: &Value<'_>) -> Option<AppArmor> {
        let text = self.text(key, value)?;
        match text.as_ref() {
            "unconfined" => Some(AppArmor::Unconfined),
            "default" | "" => Some(AppArmor::Default),
            name if name.starts_with([' ', '&', ':']) || name.contains("//&") || name.ends_with(' ') => {
                self.impossible(key, value.span, format_args!("'{name}' is no profile's name"));
                None
            }
            name => Some(AppArmor::Profile(name.to_owned())),
        }
    }

    /// A type of SELinux.
    pub(super) fn selinux_type(&mut self, key: &Key, value: &Value<'_>) -> Option<String> {
        let is_known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        self.selinux_part(key, value, is_known, "a type is written such as container_t")
    }

    /// A level of SELinux, or a range of them.
    pub(super) fn selinux_level(&mut self, key: &Key, value: &Value<'_>) -> Option<String> {
        let is_known = |c: char| c.is_ascii_alphanumeric() || "_:.,-".contains(c);
        self.selinux_part(key, value, is_known, "a level is written such as s0:c1,c2")
    }

    fn selinux_part(
        &mut self,
        key: &Key,
        value: &Value<'_>,
        is_known: impl Fn(char) -> bool,
        how: &str,
    ) -> Option<String> {
        let text = self.text(key, value)?;
        if text.is_empty() || !text.chars().all(is_known) {
            self.impossible(key, value.span, format_args!("'{text}' cannot be right, {how}"));
            return None;
        }
        Some(text.into_owned())
    }

    /// `own` or `host`.
    pub(super) fn abstract_sockets(&mut self, key: &Key, value: &Value<'_>) -> Option<AbstractSockets> {
        let choices = [("own", AbstractSockets::Own), ("host", AbstractSockets::Host)];
        self.choice(key, value, &choices)
    }
}
