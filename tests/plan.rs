//! Definition and image configuration in, plan out: compares what a start would do, without privilege and without doing it.
//!
//! `tests/plan/CASE/definition.toml` is the definition, `image.json` the image's OCI configuration (none for a `Rootfs`), `unit` the
//! service's name if it is not `web.service`, `environment` what systemd would set, `seccomp.json` the file that `SeccompProfile` names, `app.network.toml` a network.
//! `plan.json` is the plan as `coracle show --plan` prints it, but for the long list of system calls, which only the cases named `seccomp…`
//! keep, on the one architecture that they were written on; where there is an `error` instead, planning must fail with that text. `UPDATE=1` rewrites
//! whichever of the two is there, and writes the one that fits where neither is.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use coracle::definition::diagnostic::Diagnostic;
use coracle::definition::places::{Places, Scope, load_files};
use coracle::definition::{Definition, Root, toml};
use coracle::plan::network::likely;
use coracle::plan::seccomp::profile::Kernel;
use coracle::plan::{Source, Surroundings, oci, plan};
use libtest_mimic::{Arguments, Trial};
use oci_spec::image::ImageConfiguration;
use serde_json::Value;

fn main() {
    let arguments = Arguments::from_args();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let mut cases: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("listing the cases")
        .map(|entry| entry.expect("listing the cases").path())
        .collect();
    cases.sort();
    let trial = |case: PathBuf| {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || Ok(compare(&case).map_err(|e| format!("{e:#}"))?))
    };
    libtest_mimic::run(&arguments, cases.into_iter().map(trial).collect()).exit();
}

fn compare(case: &Path) -> Result<()> {
    let decided = decide(case)?;
    let (name, got) = match &decided {
        Ok(config) => ("plan.json", format!("{config:#}\n")),
        Err(error) => ("error", format!("{error:#}\n")),
    };
    let other = if name == "error" { "plan.json" } else { "error" };
    let expected = optional(&case.join(name))?;
    if expected.is_none() && case.join(other).exists() {
        bail!("there is an '{other}', but it came out as '{name}':\n{got}");
    }
    if env::var_os("UPDATE").is_some() {
        return fs::write(case.join(name), got).with_context(|| format!("writing '{name}'"));
    }
    let expected = expected.with_context(|| format!("there is no '{name}', which should be\n{got}"))?;
    let mut differences: Vec<String> = Vec::new();
    for change in ["-", "+"] {
        let (these, those) = if change == "-" {
            (&expected, &got)
        } else {
            (&got, &expected)
        };
        let missing = these.lines().filter(|line| !those.lines().any(|other| other == *line));
        differences.extend(missing.map(|line| format!("{change}{line}")));
    }
    ensure!(
        expected == got,
        "'{name}' differs, UPDATE=1 accepts this:\n{}",
        differences.join("\n")
    );
    Ok(())
}

/// The plan of a case as a `config.json`, or why there is none.
fn decide(case: &Path) -> Result<Result<Value>> {
    let text = fs::read_to_string(case.join("definition.toml")).context("reading 'definition.toml'")?;
    let unit = optional(&case.join("unit"))?.unwrap_or_else(|| "web.service".to_owned());
    let unit = unit.trim_end();
    // The definition's file: 'web@.toml' of 'web@a.service'.
    let stem = unit.strip_suffix(".service").context("'unit' names no service")?;
    let stem = stem.find('@').and_then(|at| stem.get(..=at)).unwrap_or(stem);
    let (definition, diagnostics) = if case.join("app.network.toml").exists() {
        on_networks(case)?
    } else {
        toml::parse(Path::new(&format!("/etc/coracle/{stem}.toml")), &text)
    };
    ensure!(
        diagnostics.is_empty(),
        "the definition is not clean: {}",
        diagnostics[0]
    );
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
    let surroundings = Surroundings {
        unit,
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
    Ok(config)
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
