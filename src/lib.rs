//! Coracle runs containers as plain systemd services that wake up when somebody connects.

#[allow(unsafe_code)]
pub mod sys;

pub mod activation;
pub mod definition;
pub mod plan;
pub mod image;
pub mod store;
