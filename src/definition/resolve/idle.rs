//! `IdleTimeout=` and `IdleIgnoresCpu=`.

use crate::definition::diagnostic::Severity;
use crate::definition::idle::Idle;
use crate::definition::keys::{Key, Section};
use crate::definition::resolve::systemd::Given;
use crate::definition::resolve::values::milliseconds;
use crate::definition::resolve::{Resolver, last};
use crate::definition::setting::{Header, Settings, Value};
use crate::definition::{Activation, Definition};

/// The keys so far.
#[derive(Default)]
pub(super) struct Draft {
    /// Nothing where it is off.
    pub(super) timeout: Option<u64>,
    pub(super) ignores_cpu: bool,
}

impl Resolver<'_, '_> {
    /// A span after which a container is idle; nothing for `0` and `infinity`.
    pub(super) fn idle_timeout(&mut self, key: &Key, value: &Value<'_>) -> Option<u64> {
        let text = self.time_span(key, value)?;
        let span = milliseconds(&text).filter(|span| *span > 0)?;
        if span < Idle::SHORTEST {
            let why = format_args!("'{text}' is too short, write at least {}ms", Idle::SHORTEST);
            self.impossible(key, value.span, why);
            return None;
        }
        Some(span)
    }

    /// Puts the keys into the definition, if they mean something there. `service` are the lines of `[Service]`.
    pub(super) fn idle(
        &mut self,
        draft: &Draft,
        service: &[Given],
        definition: &mut Definition,
        settings: &Settings<'_>,
    ) {
        let Some(timeout) = draft.timeout else {
            if draft.ignores_cpu {
                self.without_effect(settings, "IdleIgnoresCpu", "while 'IdleTimeout' is off");
            }
            return;
        };
        if definition.sockets.is_empty() {
            // A socket that is none is said already.
            let is_socket = |header: &Header<'_>| header.section == Section::Socket;
            if settings.headers.iter().any(is_socket) || last(settings, "PublishPort").is_some() {
                return;
            }
            let why = "in a definition without sockets: nothing would start the container again";
            self.without_effect(settings, "IdleTimeout", why);
            return;
        }
        match definition.container.activation {
            Some(Activation::Accept) => {
                let why = "with 'Activation' 'accept': each container ends with its connection";
                return self.without_effect(settings, "IdleTimeout", why);
            }
            Some(Activation::Proxy) if draft.ignores_cpu => {
                let why = "with 'Activation' 'proxy', which only looks at connections";
                self.without_effect(settings, "IdleIgnoresCpu", why);
            }
            _ => {}
        }
        let stop_timeout = service
            .iter()
            .rev()
            .find(|given| matches!(given.line.key(), "TimeoutStopSec" | "TimeoutSec"));
        let stop_timeout = match stop_timeout.map(|given| given.line.value()) {
            // As in systemd.
            Some("0" | "infinity") => None,
            Some(text) => Some(milliseconds(text).unwrap_or(Idle::STOP_TIMEOUT)),
            None => Some(Idle::STOP_TIMEOUT),
        };
        definition.container.idle = Some(Idle {
            timeout,
            ignores_cpu: draft.ignores_cpu,
            stop_timeout,
        });
    }

    fn without_effect(&mut self, settings: &Settings<'_>, key: &str, why: &str) {
        if let Some(setting) = last(settings, key) {
            let message = format!("'{key}' has no effect {why}, ignoring");
            self.report.say(Severity::Warning, setting.key_span, message, None);
        }
    }
}
