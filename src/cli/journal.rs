//! The command's own log: what it has changed, in the journal, with fields to search for (`journalctl -t coracle CORACLE_IMAGE=…`).
//!
//! Only verbs that change something write to it, with `tracing::info!`. What goes wrong is told to whoever typed the verb, and nowhere
//! else. Where there is no journal, nothing is logged and nothing is said.

use tracing_subscriber::layer::SubscriberExt;

/// Lets `tracing` write into the journal from here on.
pub fn open() {
    let Ok(journal) = tracing_journald::layer() else { return };
    let journal = journal
        .with_syslog_identifier("coracle".to_owned())
        .with_field_prefix(Some("CORACLE".to_owned()));
    // Fails only where somebody has set one already, who then gets the log.
    _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(journal));
}
