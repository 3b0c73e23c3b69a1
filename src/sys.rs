//! The only place with unsafe code: system calls that nix does not have.
