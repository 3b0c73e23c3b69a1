//! `coracle show --plan`: gathers what the shim would gather, and has the plan printed.
//!
//! Two things are known at a start only and left out: the environment that systemd gives to the service, and the numbers behind names
//! of users and groups.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::cli::scope::Scope;
use crate::definition::Definition;
use crate::generate::run::SHIM;
use crate::plan::{self, Source, Surroundings, oci};
use crate::run::cleanup::writable_layer;
use crate::run::environment;
use crate::run::planning::{kernel, seccomp_profile, source};
use crate::store::Store;

/// The plan of starting this definition as `unit`, as an OCI `config.json`.
///
/// # Errors
/// The image is not in the store, or cannot be started with this definition.
pub fn config(definition: &Definition, unit: &str, scope: &Scope) -> anyhow::Result<Value> {
    let store = Store::open(&scope.store())?;
    let (image, layers) = source(definition, &store)?;
    let config = image.as_ref().and_then(|image| image.config.config().as_ref());
    let environment_files = environment::read(&definition.container.environment_files, unit)?;
    let zone = environment::local_zone(&definition.container);
    let profile = seccomp_profile(definition, unit)?;
    let surroundings = Surroundings {
        unit,
        seccomp_profile: profile.as_deref(),
        kernel: kernel()?,
        writable_layer: &writable_layer(&store, unit)?,
        mount_point: Path::new(SHIM).parent().context("the shim lies in no directory")?,
        environment: &[],
        environment_files: &environment_files,
        local_zone: zone.as_deref(),
    };
    let source = Source {
        layers: &layers,
        config,
    };
    let plan =
        plan::plan(definition, source, surroundings).with_context(|| format!("planning the start of '{unit}'"))?;
    oci::config(&plan)
}
