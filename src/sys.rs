//! The only place with unsafe code: system calls that nix does not have, each as a function that cannot be misused.
//!
//! What is here takes and gives owned or borrowed descriptors, paths and plain values; nothing here knows of containers, and nothing
//! decides. A function is a system call or a short sequence that only makes sense as one.

pub mod bpf;
pub mod capability;
pub mod death;
pub mod diag;
pub mod ebpf;
pub mod entry;
pub mod epoll;
pub mod gate;
pub mod landlock;
pub mod limits;
pub mod lock;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod path;
pub mod process;
pub mod seccomp;
pub mod socket;
pub mod task;
pub mod terminal;
pub mod tripwire;
pub mod user;
