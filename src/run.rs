//! Carries a plan out: namespaces, root, payload, and the init that stays.
//!
//! [`start`] is the shim: it gathers what a plan needs, makes the container's first process as a sibling, tells systemd that this one
//! is the main process now, and is gone. That process builds the container around itself ([`container`]), starts the payload ([`payload`]) and
//! becomes [`init`]. Nothing here decides what is done; that stands in the plan.

pub mod cleanup;
pub mod container;
pub mod failure;
pub mod init;
pub mod intercept;
pub mod log;
pub mod notify;
pub mod payload;
pub mod rootfs;
pub mod sockaddr;
pub mod staging;
pub mod start;
pub mod user;
