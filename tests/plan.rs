//! Definition and image configuration in, plan out: compares what a start would do, without privilege and without doing it.
//!
//! `tests/plan/CASE/definition.toml` is the definition, `image.json` the image's OCI configuration (none for a `Rootfs`), `unit` the
//! service's name if it is not `web.service`, `environment` what systemd would set, `credentials` the names of the service's credentials,
//! `seccomp.json` the file that `SeccompProfile` names, `app.network.toml` a network, `module` the host's security module if it has one.
//! `plan.json` is the plan as `coracle show --plan` prints it, but for the long list of system calls, which only the cases named `seccomp…`
//! keep, on the one architecture that they were written on; `error` is what planning must fail with.

#[path = "cases/decided.rs"]
mod decided;
#[path = "cases/folder.rs"]
mod folder;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use coracle::definition::diagnostic::Diagnostic;
use coracle::definition::label::SecurityModule;
use coracle::definition::places::{Places, Scope, load_files};
use coracle::definition::{Definition, Root, toml, volume};
use coracle::plan::network::likely;
use coracle::plan::seccomp::profile::Kernel;
use coracle::plan::{Source, Surroundings, oci, plan};
use oci_spec::image::ImageConfiguration;
use serde_json::Value;

fn main() {
    decided::run("plan", "plan.json", decide)
}

/// The plan of a case as a `config.json`, or why there is none.
fn decide(case: &Path) -> Result<Result<String>> {
    let text = fs::read_to_string(case.join("definition.toml")).context("reading 'definition.toml'")?;
    let unit = optional(&case.join("unit"))?.unwrap_or_else(|| "web.service".to_owned());
    let unit = unit.trim_end();
    // The definition's file: 'web@.toml' of 'web@a.service'.
    let stem = unit.strip_suffix(".service").context("'unit' names no service")?;
    let stem = stem.find('@').and_then(|at| stem.get(..=at)).unwrap_or(stem);
    let (mut definition, diagnostics) = if case.join("app.network.toml").exists() {
        on_networks(case)?
    } else {
        toml::parse(Path::new(&format!("/etc/coracle/{stem}.toml")), &text)
    };
    ensure!(
        diagnostics.is_empty(),
        "the definition is not clean: {}",
        diagnostics[0]
    );
    definition.security_module = match optional(&case.join("module"))?.as_deref().map(str::trim_end) {
        Some("app-armor") => SecurityModule::AppArmor,
        Some("selinux") => SecurityModule::Selinux,
        Some(other) => bail!("there is no module '{other}'"),
        None => SecurityModule::None,
    };
    let image = optional(&case.join("image.json"))?
        .map(|text| serde_json::from_str::<ImageConfiguration>(&text))
        .transpose()
        .context("reading 'image.json'")?;
    let layers: Vec<PathBuf> = match (&definition.container.root, &image) {
        (Root::Rootfs(directory), None) => vec![directory.clone()],
        (Root::Image(_), Some(image)) => {
            let layers = image.rootfs().diff_ids().iter().map(|layer| layer.replace(':', "-"));
            layers
                .map(|layer| Path::new("/var/lib/coracle/layers").join(layer))
                .collect()
        }
        _ => bail!("an 'image.json' belongs to an Image, and only to that"),
    };
    let environment: Vec<(String, String)> = optional(&case.join("environment"))?
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let source = Source {
        layers: &layers,
        config: image.as_ref().and_then(|image| image.config().as_ref()),
    };
    let profile = optional(&case.join("seccomp.json"))?;
    let images: Vec<(String, Vec<PathBuf>)> = definition
        .container
        .volumes
        .iter()
        .filter_map(|volume| match &volume.source {
            volume::Source::Image { reference, .. } => {
                let layers = ["01", "02"].map(|layer| Path::new("/var/lib/coracle/layers").join(layer));
                Some((reference.clone(), layers.into()))
            }
            _ => None,
        })
        .collect();
    let credentials: Vec<String> = optional(&case.join("credentials"))?
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    let surroundings = Surroundings {
        unit,
        volumes: Path::new(volume::DIRECTORY),
        images: &images,
        credentials: &credentials,
        seccomp_profile: profile.as_deref(),
        kernel: Kernel(6, 1),
        writable_layer: &Path::new("/var/lib/coracle/containers").join(unit),
        mount_point: Path::new("/usr/libexec/coracle"),
        environment: &environment,
        environment_files: &[],
        addresses: &likely(&definition.container.network, unit),
        local_zone: Some("Europe/Berlin"),
    };
    let mut config = plan(&definition, source, surroundings).and_then(|plan| oci::config(&plan));
    let about_calls = case
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("seccomp"));
    if let (Ok(config), false) = (&mut config, about_calls) {
        let linux = config.pointer_mut("/linux").and_then(Value::as_object_mut);
        linux
            .and_then(|linux| linux.remove("seccomp"))
            .context("the plan has no filter of system calls")?;
    }
    Ok(config.map(|config| format!("{config:#}\n")))
}

/// The definition of a case with the networks beside it.
fn on_networks(case: &Path) -> Result<(Definition, Vec<Diagnostic>)> {
    let nowhere = Places {
        directories: Vec::new(),
        root: PathBuf::from("/"),
        scope: Scope::System,
    };
    let loaded = load_files(&[case.join("definition.toml")], &nowhere).definitions.pop();
    let loaded = loaded.context("there is no definition")?;
    Ok((loaded.definition, loaded.diagnostics))
}

fn optional(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading '{}'", path.display())),
    }
}
