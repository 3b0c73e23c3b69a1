//! What `systemctl reload` does: nothing where the definition does not say.
//!
//! A signal goes to init, which passes it on. A program that tells systemd of itself (`Notify=yes`) is waited for until it is done, as far as it
//! says so; from systemd 253 on that is the type `notify-reload`. Everything else is a command of the shim (`ExecReload=`).

use std::borrow::Cow;

use crate::definition::renewal::Reload;
use crate::definition::{Definition, Notify};
use crate::generate::Context;
use crate::generate::service::{Lines, path_word};

/// The first version of systemd with `Type=notify-reload`.
const NOTIFY_RELOAD_SINCE: u32 = 253;

/// `Type=` of the service.
#[must_use]
pub fn service_type(definition: &Definition, context: &Context) -> &'static str {
    match signal_of(definition, context) {
        Some(_) => "notify-reload",
        None => "notify",
    }
}

/// The other lines.
#[must_use]
pub fn lines(definition: &Definition, stem: &str, context: &Context) -> Lines<'static> {
    if let Some(signal) = signal_of(definition, context) {
        return vec![("ReloadSignal", signal.to_string().into())];
    }
    let shim = path_word(&context.shim);
    let command: Cow<'static, str> = match &definition.container.renewal.reload {
        None => return Lines::new(),
        Some(Reload::Signal(signal)) => [&shim, " --signal $MAINPID ", &signal.to_string()].concat().into(),
        Some(Reload::Command(_)) => {
            let resolved = path_word(&context.output_directory.join([stem, ".json"].concat()));
            [&shim, " --reload ", &resolved, " %n $MAINPID"].concat().into()
        }
    };
    vec![("ExecReload", command)]
}

/// The signal that systemd itself sends.
fn signal_of(definition: &Definition, context: &Context) -> Option<i32> {
    let notifies = definition.container.notify == Some(Notify::Yes);
    match definition.container.renewal.reload {
        Some(Reload::Signal(signal)) if notifies && context.systemd_version >= NOTIFY_RELOAD_SINCE => Some(signal),
        _ => None,
    }
}
