//! `coracle show --plan`: gathers what the shim would gather, and has the plan printed.
//!
//! Two things are known at a start only and left out: the environment that systemd gives to the service, and the numbers behind names
//! of users and groups. Addresses are those that the container gets unless another one has them.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::cli::scope::Scope;
use crate::definition::Definition;
use crate::generate::run::SHIM;
use crate::plan::network::likely;
use crate::plan::oci;
use crate::run::planning;
use crate::store::Store;

/// The plan of starting this definition as `unit`, as an OCI `config.json`.
///
/// # Errors
/// The image is not in the store, or cannot be started with this definition.
pub fn config(definition: &Definition, unit: &str, scope: &Scope) -> anyhow::Result<Value> {
    let store = Store::open(&scope.store())?;
    let mount_point = Path::new(SHIM).parent().context("the shim lies in no directory")?;
    let addresses = likely(&definition.container.network, unit);
    // One that is started for a connection is nothing without it.
    let connection = ("LISTEN_FDNAMES".to_owned(), "connection".to_owned());
    let environment: &[_] = if definition.accepts() { &[connection] } else { &[] };
    let (plan, _) = planning::plan(definition, unit, environment, mount_point, &store, &addresses)
        .with_context(|| format!("planning the start of '{unit}'"))?;
    oci::config(&plan)
}
