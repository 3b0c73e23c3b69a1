//! The image store: an OCI image layout with, beside it, every layer unpacked once.
//!
//! ```text
//! /var/lib/coracle/
//!     oci-layout  index.json  blobs/sha256/HEX    the layout (image-spec image-layout.md): any tool can read it
//!     layers/HEX/                                 a layer, named after the digest of its uncompressed tar archive
//!     kept/UID.GID/HEX/                           the same with other owners, for containers that want them
//!     staging/XXXX/                               what an import is working on, held by its flock(2)
//!     lock  index.lock  locks/HEX                 for writers only
//! ```
//!
//! Layers lie in the form that overlayfs wants: a deleted file is a character device 0:0, an opaque directory has the
//! extended attribute `trusted.overlay.opaque` (`user.overlay.opaque` where the store's owner is not root).
//!
//! Invariants: whatever is named in `index.json` is there, complete and verified, since it is renamed into place before the
//! name is written. Readers take no lock. A container holds a shared lock on each of its layers' directories
//! ([`Store::hold`]), and a layer is removed only under an exclusive one.

pub mod blob;
pub mod change;
pub mod compress;
pub mod copy;
pub mod import;
pub mod index;
pub mod inventory;
pub mod keep;
pub mod pack;
pub mod refuse;
pub mod remove;
pub mod source;
pub mod staging;
pub mod tarball;
pub mod tree;
pub mod unpack;
pub mod volume;

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use oci_spec::image::ImageConfiguration;
use rustix::fs::{FlockOperation, Mode, OFlags, openat};

use crate::image::digest::Digest;
use crate::image::platform;
use crate::image::reference::Reference;
use crate::store::blob::Manifest;
use crate::store::index::lookup;
use crate::sys::mount::{Depth, add_attributes, clone_tree, open_place};

/// A store on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
    /// The directory of the unpacked layers, below the root.
    layers: String,
}

/// An image that is ready to be run.
#[derive(Debug, Clone)]
pub struct Image {
    /// The name by which it was found.
    pub reference: Reference,
    /// The digest of its manifest.
    pub manifest_digest: Digest,
    /// Its configuration.
    pub config: ImageConfiguration,
    /// The names of its layers' directories (see [`Store::layer_path`]), lowest first, each only once.
    pub layers: Vec<String>,
}

/// Keeps the layers of an image from being removed, as long as any copy of the descriptors is open.
#[derive(Debug)]
pub struct Held {
    /// One descriptor a layer, in the order of [`Image::layers`]. Closing them is what unlocks: an explicit unlock would
    /// end the lock of the container's copies too.
    pub locks: Vec<File>,
    /// What they were opened in. To let go of a mount takes the kernel longer than to make one, so that is left for later.
    pub layers: OwnedFd,
}

impl Held {
    /// All the descriptors, to be kept or handed on.
    pub fn into_descriptors(self) -> impl Iterator<Item = OwnedFd> {
        self.locks.into_iter().map(OwnedFd::from).chain([self.layers])
    }
}

impl Store {
    /// Names the store at `root`. Nothing needs to exist there yet: what is missing is said by what needs it.
    pub fn open(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).with_context(|| format!("opening the store '{}'", root.display()))?;
        let layers = "layers".to_owned();
        Ok(Self { root, layers })
    }

    /// The same store with other unpacked layers: those whose files belong to whom they belong to in a container in which its user is
    /// `user` and `group` ([`crate::store::keep`]).
    #[must_use]
    pub fn kept(&self, user: u32, group: u32) -> Self {
        Self {
            root: self.root.clone(),
            layers: format!("kept/{user}.{group}"),
        }
    }

    /// Where the system's images are.
    #[must_use]
    pub fn system_root() -> &'static Path {
        Path::new("/var/lib/coracle")
    }

    /// The store's own directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of an unpacked layer.
    #[must_use]
    pub fn layer_path(&self, name: &str) -> PathBuf {
        self.layers_path().join(name)
    }

    /// The parent of all unpacked layers.
    #[must_use]
    pub fn layers_path(&self) -> PathBuf {
        self.root.join(&self.layers)
    }

    /// Finds an image by its name and makes sure that it can be run here: one look into the index, two small files,
    /// and one look at each layer.
    pub fn find(&self, reference: &Reference) -> Result<Image> {
        let Some(manifest_digest) = lookup(&self.root, reference)? else {
            bail!(
                "image '{reference}' is not in the store '{}': import it with 'coracle image import'",
                self.root.display()
            );
        };
        let (config, layers) = self
            .runnable(&manifest_digest)
            .with_context(|| format!("reading image '{reference}'"))?;
        Ok(Image {
            reference: reference.clone(),
            manifest_digest,
            config,
            layers,
        })
    }

    /// The image of this manifest, which is called `reference`, whether or not a name leads to it.
    ///
    /// # Errors
    /// It is not in the store, or cannot be run here.
    pub fn find_manifest(&self, reference: &Reference, manifest_digest: &Digest) -> Result<Image> {
        let (config, layers) = self
            .runnable(manifest_digest)
            .with_context(|| format!("reading image '{reference}', '{manifest_digest}'"))?;
        Ok(Image {
            reference: reference.clone(),
            manifest_digest: manifest_digest.clone(),
            config,
            layers,
        })
    }

    fn runnable(&self, manifest_digest: &Digest) -> Result<(ImageConfiguration, Vec<String>)> {
        let bytes = self.read_blob_unverified(manifest_digest)?;
        let manifest = Manifest::parse(&bytes).with_context(|| self.corrupt(manifest_digest))?;
        let bytes = self.read_blob_unverified(&manifest.config.digest)?;
        let config = parse_config(&bytes).with_context(|| self.corrupt(&manifest.config.digest))?;
        require_this_platform(&config)?;
        let layers = diff_ids(&config)?;
        Ok((config, self.stack(&layers)?))
    }

    /// The directories to be stacked for these layers, lowest first.
    fn stack(&self, diff_ids: &[Digest]) -> Result<Vec<String>> {
        let mut stack: Vec<String> = Vec::with_capacity(diff_ids.len());
        for layer in diff_ids.iter().rev() {
            // A layer that lies in the image twice hides itself, and overlayfs refuses to stack a directory twice.
            if stack.iter().any(|name| name == layer.hex()) {
                continue;
            }
            let path = self.layer_path(layer.hex());
            match std::fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => bail!("layer '{}' is not a directory: import the image again", path.display()),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    bail!("layer '{}' is missing: import the image again", path.display())
                }
                Err(error) => return Err(error).with_context(|| format!("looking at layer '{}'", path.display())),
            }
            stack.push(layer.hex().to_owned());
            // overlayfs ignores the attribute on the topmost directory of a layer.
            if is_opaque(&path) {
                break;
            }
        }
        stack.reverse();
        Ok(stack)
    }

    /// Locks the layers of an image against removal. A container keeps the descriptors open for its life.
    pub fn hold(&self, image: &Image) -> Result<Held> {
        let path = self.layers_path();
        let layers = open_place(&path).with_context(|| format!("opening '{}'", path.display()))?;
        self.hold_in(layers, image)
    }

    /// The same locks by descriptors that lead nowhere else. init keeps them for as long as the container runs, and a payload with
    /// `CAP_SYS_PTRACE` can look into init: what it finds can be read only, and has no way up to the rest of the host.
    ///
    /// # Errors
    /// The layers cannot be mounted a second time (`EPERM` without `CAP_SYS_ADMIN`) or locked.
    pub fn hold_confined(&self, image: &Image) -> Result<Held> {
        let path = self.layers_path();
        let place = open_place(&path).with_context(|| format!("opening '{}'", path.display()))?;
        let layers = clone_tree(place.as_fd(), Depth::Mount).context("cloning the mount of the layers")?;
        let attributes =
            libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
        add_attributes(layers.as_fd(), attributes, Depth::Mount).context("making the layers read-only")?;
        self.hold_in(layers, image)
    }

    fn hold_in(&self, layers: OwnedFd, image: &Image) -> Result<Held> {
        let hold = |name: &String| -> Result<File> {
            let path = self.layer_path(name);
            // Between finding, opening and locking it can have been removed: then the name is gone, or another's.
            let removed = || format!("layer '{}' was just removed: import the image again", path.display());
            let context = |error: std::io::Error| match error.kind() {
                ErrorKind::NotFound => anyhow!(removed()),
                _ => anyhow!(error).context(format!("locking layer '{}'", path.display())),
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = openat(&layers, name.as_str(), flags, Mode::empty());
            let lock = File::from(opened.map_err(|errno| context(errno.into()))?);
            share(&lock).map_err(|errno| context(errno.into()))?;
            let held = lock.metadata().map_err(context)?;
            let named = std::fs::symlink_metadata(&path).map_err(context)?;
            ensure!((held.dev(), held.ino()) == (named.dev(), named.ino()), removed());
            Ok(lock)
        };
        let locks = image.layers.iter().map(hold).collect::<Result<_>>()?;
        Ok(Held { locks, layers })
    }
}

/// Takes a shared lock. Whoever looks whether a layer is in use has it alone for a moment, and whoever removes one for a little longer.
fn share(lock: &File) -> rustix::io::Result<()> {
    for _ in 0..50 {
        match rustix::fs::flock(lock, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => sleep(Duration::from_millis(2)),
            locked => return locked,
        }
    }
    rustix::fs::flock(lock, FlockOperation::NonBlockingLockShared)
}

/// Parses an image configuration.
pub fn parse_config(bytes: &[u8]) -> Result<ImageConfiguration> {
    serde_json::from_slice(bytes).context("parsing the image configuration")
}

/// The uncompressed digests of an image's layers, lowest first.
pub fn diff_ids(config: &ImageConfiguration) -> Result<Vec<Digest>> {
    let parse = |text: &String| {
        text.parse()
            .context("parsing 'rootfs.diff_ids' of the image configuration")
    };
    config.rootfs().diff_ids().iter().map(parse).collect()
}

/// Fails if an image is for another kind of machine.
pub fn require_this_platform(config: &ImageConfiguration) -> Result<()> {
    let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
    ensure!(
        os == platform::OS && architecture == platform::architecture(),
        "the image is for {os}/{architecture}, this machine is {}/{}",
        platform::OS,
        platform::architecture()
    );
    Ok(())
}

/// Whether a directory hides everything below it.
fn is_opaque(path: &Path) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        let mut value = [0_u8; 1];
        matches!(rustix::fs::lgetxattr(path, *name, &mut value), Ok(1) if value == *b"y")
    })
}
