//! Coracle runs containers as plain systemd services that wake up when somebody connects.

pub mod activation;
pub mod definition;
pub mod generate;
pub mod image;
pub mod plan;
pub mod run;
pub mod store;
#[allow(unsafe_code)]
pub mod sys;
pub mod unitfile;
