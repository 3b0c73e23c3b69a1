//! Carries a plan out: namespaces, root, payload, and the init that stays.
//!
//! [`start`] is the shim: it gathers what a plan needs ([`planning`]), makes the container's first process as a sibling, makes for it what
//! takes the rights of the host ([`lend`], [`handover`]), tells systemd that it is the main process now, and is gone. The first process builds
//! the container around itself ([`container`], [`rootfs`]), starts the payload ([`payload`]) and becomes [`init`]. Nothing here decides what
//! is done; that stands in the plan.

pub mod attend;
pub mod cleanup;
pub mod container;
pub mod device;
pub mod environment;
pub mod exec;
pub mod failure;
pub mod handover;
pub mod identities;
pub mod init;
pub mod intercept;
pub mod lend;
pub mod log;
pub mod network;
pub mod notify;
pub mod payload;
pub mod planning;
pub mod program;
pub mod rights;
pub mod rootfs;
pub mod sockaddr;
pub mod staging;
pub mod start;
pub mod sysctl;
pub mod terminal;
pub mod user;
