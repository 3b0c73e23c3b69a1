//! Definitions in, units out: runs the real generator on small trees and compares every byte.
//!
//! `tests/golden/CASE/in` is a root directory with definitions, `out` what the generator must write (a symbolic link is a file that
//! says `-> TARGET`), `stderr` what it must say. A case with `in/home` is a user's. `UPDATE=1` rewrites what is expected. Every case is
//! run twice and must write the same, and its units must pass `systemd-analyze verify` of this machine's systemd without a word.
//!
//! The cases run on copies, so a case may be changed while it is tested, and nothing is written below `tests` without `UPDATE=1`.

#[path = "cases/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Trial};
use tempfile::TempDir;

use folder::{cases, name};

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for case in cases("golden") {
        let name = name(&case).to_owned();
        let (golden, verified) = (case.clone(), case);
        trials.push(Trial::test(name.clone(), move || {
            Ok(compare(&golden).map_err(|e| format!("{e:#}"))?)
        }));
        trials.push(Trial::test(format!("{name}::verify"), move || {
            Ok(verify(&verified).map_err(|e| format!("{e:#}"))?)
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// File names and texts.
type Tree = BTreeMap<String, String>;

/// A copy of a case's `in`, and the generator's output in it.
struct Root {
    directory: TempDir,
    is_user: bool,
}

impl Root {
    fn new(case: &Path) -> Result<Self> {
        let directory = TempDir::new().context("making a temporary directory")?;
        copy(&case.join("in"), directory.path())?;
        let is_user = case.join("in/home").is_dir();
        let root = Self { directory, is_user };
        fs::create_dir_all(root.output())?;
        Ok(root)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join(inside)
    }

    fn output(&self) -> PathBuf {
        self.path(self.output_inside())
    }

    fn output_inside(&self) -> &'static str {
        if self.is_user {
            "run/user/1000/systemd/generator"
        } else {
            "run/systemd/generator"
        }
    }

    fn scope(&self) -> &'static str {
        if self.is_user { "user" } else { "system" }
    }

    /// Runs the generator and takes what it wrote and said.
    fn generate(&self) -> Result<(Tree, String)> {
        let output = Command::new(env!("CARGO_BIN_EXE_coracle-generator"))
            .arg("--root")
            .arg(self.directory.path())
            .arg(self.output())
            .env_clear()
            .env("SYSTEMD_SCOPE", self.scope())
            .env("HOME", "/home/user")
            .output()
            .context("running the generator")?;
        let said = text(&output.stderr)?;
        ensure!(
            output.status.success(),
            "the generator failed ({}): {said}",
            output.status
        );
        ensure!(
            output.stdout.is_empty(),
            "the generator printed: {}",
            text(&output.stdout)?
        );
        Ok((read_tree(&self.output())?, said))
    }
}

fn compare(case: &Path) -> Result<()> {
    let (units, said) = Root::new(case)?.generate()?;
    let again = Root::new(case)?.generate()?;
    ensure!(
        again == (units.clone(), said.clone()),
        "a second run wrote something else"
    );
    let (out, stderr) = (case.join("out"), case.join("stderr"));
    if env::var_os("UPDATE").is_some() {
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        for (name, content) in &units {
            let path = out.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&out))?;
            fs::write(path, content)?;
        }
        fs::write(&stderr, said)?;
        return Ok(());
    }
    let mut differences = Vec::new();
    let expected = if out.exists() { read_tree(&out)? } else { Tree::new() };
    for name in expected
        .keys()
        .chain(units.keys().filter(|name| !expected.contains_key(*name)))
    {
        differences.extend(difference(name, expected.get(name), units.get(name)));
    }
    let expected = fs::read_to_string(&stderr).context("reading the expected stderr")?;
    differences.extend(difference("stderr", Some(&expected), Some(&said)));
    ensure!(
        differences.is_empty(),
        "{}\nUPDATE=1 accepts all of this",
        differences.join("\n")
    );
    Ok(())
}

fn difference(name: &str, expected: Option<&String>, got: Option<&String>) -> Option<String> {
    match (expected, got) {
        (Some(expected), Some(got)) if expected == got => None,
        (Some(expected), Some(got)) => Some(format!("{name} differs\n--- expected\n{expected}\n+++ got\n{got}")),
        (Some(_), None) => Some(format!("{name} was not written")),
        (None, got) => Some(format!("{name} was not expected:\n{}", got.map_or("", String::as_str))),
    }
}

/// This machine's systemd must find nothing to complain of. Its exit status says little: it is 0 on an unknown key. A user's units are
/// verified as the system's, because --user and --root exclude each other.
fn verify(case: &Path) -> Result<()> {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        ensure!(
            env::var("CI").as_deref() != Ok("true"),
            "systemd-analyze is missing, install systemd"
        );
        eprintln!("systemd-analyze is missing, so the units were not verified");
        return Ok(());
    };
    let root = Root::new(case)?;
    pretend_version(&root, &text(&version.stdout)?)?;
    let (units, _) = root.generate()?;
    install_base(&root)?;
    let names: Vec<String> = units
        .keys()
        .filter(|name| !name.contains('/') && !name.ends_with(".json"))
        .map(|name| instance(name))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--generators=no", "--system"])
        .arg(format!("--root={}", root.directory.path().display()))
        .args(names)
        .env(
            "SYSTEMD_UNIT_PATH",
            format!("/{}:/usr/lib/systemd/system", root.output_inside()),
        )
        .env("SYSTEMD_LOG_LEVEL", "info")
        .output()
        .context("running systemd-analyze")?;
    check_silent(&output)
}

fn check_silent(output: &Output) -> Result<()> {
    let said = text(&output.stderr)?;
    ensure!(
        output.status.success() && said.is_empty(),
        "systemd-analyze says ({}):\n{said}",
        output.status
    );
    Ok(())
}

/// The units must be for the systemd that verifies them.
fn pretend_version(root: &Root, version: &str) -> Result<()> {
    let Some(number) = version.split_whitespace().nth(1) else {
        bail!("'{version}' is no version")
    };
    let directory = root.path("usr/lib/systemd");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(format!("libsystemd-shared-{number}.so")), "")?;
    Ok(())
}

/// What every system has: the targets, our slice, and something executable in the shim's place.
fn install_base(root: &Root) -> Result<()> {
    let inside = "usr/lib/systemd/system";
    let directory = root.path(inside);
    fs::create_dir_all(&directory)?;
    let host = Path::new("/").join(inside);
    for name in names(&host)?.iter().filter(|name| name.ends_with(".target")) {
        fs::copy(host.join(name), directory.join(name)).with_context(|| format!("copying '{name}'"))?;
    }
    let slice = Path::new(env!("CARGO_MANIFEST_DIR")).join("units/coracle.slice");
    fs::copy(slice, directory.join("coracle.slice")).context("copying coracle.slice")?;
    fs::write(directory.join("db.service"), "[Service]\nExecStart=/usr/bin/true\n").context("writing db.service")?;
    for program in ["usr/libexec/coracle/coracle-shim", "usr/bin/true"] {
        let path = root.path(program);
        fs::create_dir_all(path.parent().context("a program has a directory")?)?;
        fs::write(&path, "")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// A template is verified by one of its instances.
fn instance(name: &str) -> String {
    name.replace("@.", "@instance.")
}

fn read_tree(directory: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    for name in names(directory)? {
        let path = directory.join(&name);
        if path.is_symlink() {
            tree.insert(name, format!("-> {}\n", fs::read_link(&path)?.display()));
        } else if path.is_dir() {
            let below = read_tree(&path)?;
            ensure!(!below.is_empty(), "'{name}' is an empty directory");
            tree.extend(
                below
                    .into_iter()
                    .map(|(below, content)| (format!("{name}/{below}"), content)),
            );
        } else {
            let content = fs::read_to_string(&path).with_context(|| format!("reading '{}'", path.display()))?;
            tree.insert(name, content);
        }
    }
    Ok(tree)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for name in names(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if source.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("listing '{}'", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        names.push(
            name.into_string()
                .map_err(|name| anyhow::anyhow!("{name:?} is not UTF-8"))?,
        );
    }
    names.sort();
    Ok(names)
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).context("reading output as UTF-8")
}
