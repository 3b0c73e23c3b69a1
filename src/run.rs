//! Carries a plan out: namespaces, root, payload, and the init that stays.
//!
//! [`start`] is the shim: it gathers what a plan needs ([`planning`]), makes the container's first process as a sibling, makes for it what
//! takes the rights of the host ([`lend`], [`handover`]), tells systemd that it is the main process now, and is gone. The first process builds
//! the container around itself ([`container`], [`rootfs`]), starts the payload ([`payload`]) and becomes [`init`]. Nothing here decides what
//! is done; that stands in the plan.

pub mod attend;
pub mod cleanup;
pub mod condition;
pub mod container;
pub mod date;
pub mod device;
pub mod entrance;
pub mod environment;
pub mod exec;
pub mod failure;
pub mod fill;
pub mod handover;
pub mod health;
pub mod identities;
pub mod idle;
pub mod image;
pub mod init;
pub mod intercept;
pub mod keep;
pub mod label;
pub mod lend;
pub mod log;
pub mod mark;
pub mod network;
pub mod notify;
pub mod overdue;
pub mod pasta;
pub mod payload;
pub mod place;
pub mod planning;
pub mod processor;
pub mod program;
pub mod proxy;
pub mod queues;
pub mod record;
pub mod reload;
pub mod reloading;
pub mod rights;
pub mod rootfs;
pub mod seal;
pub mod secret;
pub mod selinux;
pub mod sockaddr;
pub mod staging;
pub mod start;
pub mod stored;
pub mod subordinate;
pub mod sysctl;
pub mod systemctl;
pub mod terminal;
pub mod user;
pub mod volume;
pub mod watch;
