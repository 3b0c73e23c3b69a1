//! Which units a definition makes, and which of them start its container.

use crate::definition::Definition;

impl Definition {
    /// The service's name without its suffix.
    #[must_use]
    pub fn stem(&self) -> &str {
        self.passthrough.service_name.as_deref().unwrap_or(&self.name)
    }

    /// The units that start the container, as stem and type: its sockets and its timer, so that nothing runs before somebody connects
    /// or the time comes; its service where it has neither.
    #[must_use]
    pub fn wakers(&self) -> Vec<(&str, &'static str)> {
        let mut wakers: Vec<(&str, &str)> = self
            .sockets
            .iter()
            .map(|socket| (socket.unit.as_str(), "socket"))
            .collect();
        if !self.passthrough.timer.is_empty() {
            wakers.push((self.stem(), "timer"));
        }
        if wakers.is_empty() {
            wakers.push((self.stem(), "service"));
        }
        wakers
    }
}
