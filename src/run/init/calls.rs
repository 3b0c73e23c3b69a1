//! The payload's bind(2) and listen(2), as far as init hears of them: with `intercept` it answers them, with `proxy` it only watches.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use crate::definition::Activation;
use crate::plan::Plan;
use crate::run::failure::Priority;
use crate::run::intercept::Intercept;
use crate::run::watch::Watch;
use crate::sys::seccomp::Listener;

/// Who hears of them.
pub(super) enum Calls {
    /// Nobody.
    Unheard,
    /// Init puts systemd's sockets in the place of the payload's own.
    Answered(Intercept),
    /// Init sees whether somebody listens where the proxy leads.
    Watched(Watch),
}

impl Calls {
    /// Those that come by `listener`, if there is one, to be answered with `sockets`.
    pub(super) fn new(listener: Option<Listener>, plan: &Plan, sockets: Vec<OwnedFd>) -> Self {
        match (listener, plan.activation) {
            (None, _) => Self::Unheard,
            (Some(listener), Activation::Proxy) => Self::Watched(Watch::new(listener, &plan.sockets)),
            (Some(listener), _) => Self::Answered(Intercept::new(listener, &plan.sockets, sockets)),
        }
    }

    /// Where one waits.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Unheard => None,
            Self::Answered(intercept) => Some(intercept.as_fd()),
            Self::Watched(watch) => Some(watch.as_fd()),
        }
    }

    /// Lets one go on that waits.
    pub(super) fn answer(&mut self) {
        match self {
            Self::Unheard => {}
            Self::Answered(intercept) => intercept.answer(),
            Self::Watched(watch) => watch.answer(),
        }
    }

    /// Whether somebody listens wherever clients are led, as far as that can be heard.
    pub(super) fn is_served(&self) -> bool {
        match self {
            Self::Unheard => true,
            Self::Answered(intercept) => intercept.is_served(),
            Self::Watched(watch) => watch.is_served(),
        }
    }

    /// What is waited for until the payload is ready, where it can be named.
    pub(super) fn awaited(&self) -> Option<String> {
        match self {
            Self::Answered(intercept) => intercept.awaited(),
            Self::Unheard | Self::Watched(_) => None,
        }
    }

    /// Since when, or from when on, nothing more is to be expected of a payload that listens. Nothing where that cannot be told.
    pub(super) fn quiet_at(&self) -> Option<Option<Instant>> {
        match self {
            Self::Answered(intercept) => Some(intercept.quiet_at()),
            Self::Unheard | Self::Watched(_) => None,
        }
    }

    /// What is wrong between the sockets and what the payload has bound so far, the worst of it first.
    pub(super) fn complaints(&mut self) -> Vec<(Priority, String)> {
        match self {
            Self::Unheard => Vec::new(),
            Self::Answered(intercept) => intercept.complaints(),
            Self::Watched(watch) => {
                let unserved = watch.unserved().map(|sentence| (Priority::Warning, sentence));
                unserved.into_iter().collect()
            }
        }
    }
}
