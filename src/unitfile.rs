//! systemd's unit file syntax: sections, quoting, unit names.
//!
//! Everything that goes into a unit file is quoted here and nowhere else, so that there is one place to check. It knows the syntax
//! (systemd.syntax(7), systemd.service(5) "Command lines", systemd-escape(1)) and nothing of Coracle.
//!
//! Nothing here opens a file or reads the environment.

pub mod words;
