//! `coracle image import`: from a file or directory into the store.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::cli::image::reference;
use crate::cli::output::{Output, complain};
use crate::cli::scope::Scope;
use crate::store::Store;
use crate::store::import::Request;
use crate::store::source::Location;

/// Import an image from a file or directory
///
/// Takes what 'docker save', 'podman save', skopeo and buildah write, and root file systems as a tar file or a directory. Every digest is
/// verified. Killed at any moment, the store holds the old image or the new one.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[allow(rustdoc::broken_intra_doc_links, reason = "help of a command, and no link")]
    /// [TRANSPORT:]PATH[:NAME]; '-' is standard input
    ///
    /// The transports are those of skopeo: oci (a directory with an OCI layout), oci-archive, docker-archive (from docker save or
    /// podman save), dir and tar (a root file system). Without one, the content decides. NAME chooses one of several images.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The image's name in the store, where it has none or is to have another
    #[arg(long, value_name = "REFERENCE")]
    pub name: Option<String>,
    /// A Dockerfile instruction for a root file system, such as 'CMD ["nginx"]' (may be given several times)
    ///
    /// CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR are known.
    #[arg(long = "change", short = 'c', value_name = "INSTRUCTION")]
    pub changes: Vec<String>,
    /// What the source is: oci, oci-archive, docker-archive, dir or tar
    #[arg(long, value_name = "FORMAT", value_parser = ["oci", "oci-archive", "docker-archive", "dir", "tar"])]
    pub format: Option<String>,
    /// Whose store.
    #[command(flatten)]
    pub scope: Scope,
}

const EXAMPLES: &str = "\
Examples:
  docker save nginx:1.27 | coracle image import -
  coracle image import oci:./layout:1.27 --name docker.io/library/nginx:1.27
  coracle image import ./rootfs --name localhost/web:1 --change 'CMD [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]'

Prints the name and the digest of what was imported.";

/// Imports, and says what.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let store = Store::open(&arguments.scope.store())?;
    arguments.scope.enter_store()?;
    let mut location = Location::parse(&arguments.source);
    if let Some(format) = &arguments.format {
        location.format = Some(format.parse()?);
    }
    let name = arguments.name.as_deref().map(reference).transpose()?;
    let request = Request {
        location,
        name,
        changes: arguments.changes.clone(),
    };
    for image in store.import(&request)? {
        tracing::info!(image = %image.reference, digest = %image.digest, "imported image '{}'", image.reference);
        output.line(&format!("{} {}", image.reference, image.digest))?;
        if image.left_out > 0 {
            let message = format!(
                "left out {} device nodes of '{}', which only root can make and no container can use",
                image.left_out, image.reference
            );
            complain(&message);
        }
    }
    Ok(ExitCode::SUCCESS)
}
