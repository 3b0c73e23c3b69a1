//! What a container in the foreground needs of its start, beyond what every container does: the end of its client.
//!
//! `coracle run` may be killed at any moment, with a signal that it cannot catch. So beside the container it starts a service that does
//! nothing but read a pipe whose other end `coracle run` alone has open: the kernel closes that end when the process is gone, however it
//! went; the service ends; and the container, which is bound to it (`BindsTo=`), is stopped by systemd.

use std::io;

use anyhow::Context as _;

use crate::run::failure::{Failure, NAMESPACE, OrFail as _};

/// Returns at the end of standard input.
///
/// # Errors
/// What read(2) says.
pub fn attend() -> Result<(), Failure> {
    let read = io::copy(&mut io::stdin(), &mut io::sink());
    read.map(drop).context("reading standard input").or_fail(NAMESPACE)
}
