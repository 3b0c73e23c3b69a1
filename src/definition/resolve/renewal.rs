//! `AutoUpdate=`, `ReloadSignal=`, `ReloadCmd=`, and whether descriptors are left from one run to the next.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Key;
use crate::definition::renewal::{AutoUpdate, DescriptorStore, Reload};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::resolve::names::signal;
use crate::definition::resolve::systemd::Given;
use crate::definition::setting::Value;
use crate::definition::{Definition, Notify};

/// What was said of it so far.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    auto_update: Option<AutoUpdate>,
    signal: Option<(i32, Span)>,
    command: Option<(Vec<String>, Span)>,
}

impl Renewal {
    /// Takes one setting.
    pub(super) fn set(&mut self, key: &Key, value: &Value<'_>, to: &mut Resolver<'_, '_>) {
        let reset = value.is_reset();
        match key.name {
            "AutoUpdate" if reset => self.auto_update = None,
            "AutoUpdate" => {
                let places = [("registry", AutoUpdate::Registry), ("local", AutoUpdate::Local)];
                self.auto_update = to.choice(key, value, &places);
            }
            "ReloadSignal" if reset => self.signal = None,
            "ReloadSignal" => self.signal = signal(to, key, value).map(|signal| (signal, value.span)),
            "ReloadCmd" if reset => self.command = None,
            "ReloadCmd" => {
                let command = to.command(key, value);
                if command
                    .as_ref()
                    .is_some_and(|command| command.first().is_none_or(String::is_empty))
                {
                    to.impossible(key, value.span, "it names no program");
                    return;
                }
                self.command = command.map(|command| (command, value.span));
            }
            _ => {}
        }
    }

    /// Puts it into the definition. `service` are the lines of `[Service]`.
    pub(super) fn finish(self, definition: &mut Definition, service: &[Given], to: &mut Resolver<'_, '_>) {
        let container = &mut definition.container;
        container.renewal.auto_update = self.auto_update;
        container.renewal.reload = match (self.signal, self.command) {
            (Some((_, one)), Some((_, other))) => {
                let message =
                    "a container is reloaded by either ReloadSignal or ReloadCmd, remove one of them".to_owned();
                to.report.error(one.max(other), message);
                None
            }
            (Some((signal, _)), None) => Some(Reload::Signal(signal)),
            (None, Some((command, _))) => Some(Reload::Command(command)),
            (None, None) => None,
        };
        let store = service
            .iter()
            .rev()
            .find(|given| given.line.key() == "FileDescriptorStoreMax");
        let Some(store) = store.filter(|given| !matches!(given.line.value().trim(), "" | "0")) else {
            return;
        };
        if container.notify == Some(Notify::Yes) {
            container.renewal.descriptor_store = DescriptorStore::Open;
            return;
        }
        let message = "'FileDescriptorStoreMax=' in [Service]: the program has no way to store any, since it does not speak to systemd";
        let suggestion = Some("set 'Notify' in [Container] to 'yes', if it does".to_owned());
        to.report
            .say(Severity::Warning, store.key, message.to_owned(), suggestion);
    }
}
