//! From the units that the generator would write to the call that makes them without a file.
//!
//! The text of each unit is read back line by line and turned into properties, so what a transient container has is what a defined one has,
//! to the line. What differs is said here: it is never started again, since its definition goes with it; its cleaning up takes that
//! definition too; and its socket lives as long as it does.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::pty::Winsize;

use crate::plan::specifier::Specifiers;
use crate::run::terminal::format_size;
use crate::systemd::property::{self, Property};
use crate::systemd::transient::Request;

/// The descriptors that a service in the foreground is given, and the end of a pipe that tells its client's end.
pub(in crate::cli) struct Given {
    /// What its standard streams are.
    pub(in crate::cli) streams: Streams,
    /// Ends when this process does.
    pub(in crate::cli) lifeline: OwnedFd,
}

/// What the standard streams of a service in the foreground are.
#[derive(Debug)]
pub(in crate::cli) enum Streams {
    /// Input, output and error.
    Separate([OwnedFd; 3]),
    /// A socket through which the container sends us our end of its terminal, whose size this is. What is said before there is one, and by
    /// others than the payload, goes to `error`.
    Terminal {
        /// Standard input of who makes the terminal.
        client: OwnedFd,
        /// As large as ours.
        size: Option<Winsize>,
        /// Standard output and error, until there is the terminal.
        error: OwnedFd,
    },
}

/// The call for these units: `files` is what the generator would write, `resolved` the resolved definition's own file.
///
/// # Errors
/// A line that has no property.
pub(super) fn of_units(unit: &str, files: &BTreeMap<String, String>, shim: &Path, resolved: &Path) -> Result<Request> {
    let text = files.get(unit).context("the unit was not made")?;
    let mut properties = of_text(unit, text)?;
    let cleanup = ["--cleanup", unit, text_of(resolved)?];
    properties.push(command("ExecStopPost", shim, &cleanup, OnFailure::GoOn)?);
    let mut auxiliary = Vec::new();
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".socket")) {
        let mut socket = of_text(name, text)?;
        // A connection that is left over must not start a container whose definition is gone.
        socket.extend(property::parse("BindsTo", unit)?);
        socket.extend(property::parse("CollectMode", "inactive-or-failed")?);
        auxiliary.push((name.clone(), socket));
    }
    Ok(Request {
        unit: unit.to_owned(),
        properties,
        auxiliary,
    })
}

/// Ties the container to this process: gives it the streams, and binds it to a service that ends with us.
///
/// # Errors
/// A path that is not UTF-8.
pub(super) fn bind(request: &mut Request, given: Given, shim: &Path, resolved: &Path, stem: &str) -> Result<()> {
    let watch = format!("{stem}-client.service");
    let Given { streams, lifeline } = given;
    let named = |name: &str, stream: OwnedFd| property::descriptor(&format!("Standard{name}FileDescriptor"), stream);
    let own = &mut request.properties;
    match streams {
        Streams::Separate([input, output, error]) => {
            own.extend([named("Input", input), named("Output", output), named("Error", error)]);
        }
        Streams::Terminal { client, size, error } => {
            let output = error.try_clone().context("copying a descriptor")?;
            own.extend([named("Input", client), named("Output", output), named("Error", error)]);
            own.retain(|(name, _)| name != "ExecStart");
            let size = format_size(size);
            let start = ["--terminal", &size, text_of(resolved)?, &request.unit];
            own.push(command("ExecStart", shim, &start, OnFailure::Fail)?);
        }
    }
    for key in ["BindsTo", "After"] {
        own.extend(property::parse(key, &watch)?);
    }
    let mut properties = vec![
        command("ExecStart", shim, &["--attend"], OnFailure::Fail)?,
        property::descriptor("StandardInputFileDescriptor", lifeline),
    ];
    let description = format!("Client of {}", request.unit);
    let settings = [
        ("Description", description.as_str()),
        ("Slice", "coracle.slice"),
        ("CollectMode", "inactive-or-failed"),
        ("StopWhenUnneeded", "yes"),
        ("TimeoutStopSec", "5s"),
    ];
    for (key, value) in settings {
        properties.extend(property::parse(key, value)?);
    }
    request.auxiliary.push((watch, properties));
    Ok(())
}

/// Whether a command's failure is the unit's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFailure {
    Fail,
    GoOn,
}

fn command(key: &str, shim: &Path, arguments: &[&str], on_failure: OnFailure) -> Result<Property> {
    let shim = text_of(shim)?;
    // systemd replaces variables in arguments, wherever they come from.
    let words = std::iter::once(&shim)
        .chain(arguments)
        .map(|word| word.replace('$', "$$"));
    let commands = vec![(
        shim.to_owned(),
        words.collect::<Vec<_>>(),
        on_failure == OnFailure::GoOn,
    )];
    Ok((key.to_owned(), commands.into()))
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("the path '{}' is not valid UTF-8", path.display()))
}

/// The properties that the lines of a unit file set. Over the bus nobody resolves specifiers.
fn of_text(unit: &str, text: &str) -> Result<Vec<Property>> {
    let specifiers = Specifiers::of_unit(unit);
    let mut properties = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', '['])) else {
            continue;
        };
        if key.starts_with("Restart") || key == "ExecStopPost" {
            continue;
        }
        let value = specifiers.expand(value).with_context(|| format!("'{key}='"))?;
        properties.extend(property::parse(key, &value)?);
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::definition::places::{Loaded, Scope};
    use crate::definition::toml;
    use crate::generate::{Context, generate};

    fn request(text: &str) -> Request {
        let (definition, diagnostics) = toml::parse(&PathBuf::from("/run/x.toml"), text);
        let loaded = Loaded {
            definition,
            diagnostics,
        };
        for systemd_version in [252, 257] {
            let context = Context {
                scope: Scope::System,
                output_directory: PathBuf::from("/run/coracle/run"),
                shim: PathBuf::from("/usr/libexec/coracle/coracle-shim"),
                systemd_version,
            };
            let drafted = generate(std::slice::from_ref(&loaded), &context);
            let request = of_units(
                "x.service",
                &drafted.files,
                &context.shim,
                Path::new("/run/coracle/run/x.json"),
            )
            .unwrap();
            if systemd_version == 257 {
                return request;
            }
        }
        unreachable!()
    }

    fn value(properties: &[Property], name: &str) -> String {
        let found: Vec<_> = properties
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.to_string())
            .collect();
        found.join(" ")
    }

    #[test]
    fn every_line_of_a_generated_unit_has_a_property() {
        let request = request(
            "[Container]\nImage = \"a%%b$\"\nPublishPort = [\"8080:80\", \"127.0.0.1:53:53/udp\"]\nVolume = \"/srv/a b:/x\"\n\
             Memory = \"1G\"\nPidsLimit = 10\nStopTimeout = 5\n[Service]\nSlice = \"y.slice\"\n",
        );
        let unit = &request.properties;
        assert!(value(unit, "Type").contains("notify") && value(unit, "Slice").contains("y.slice"));
        let start = value(unit, "ExecStart");
        assert!(
            start.contains("coracle-shim") && start.contains("/run/coracle/run/x.json") && start.contains("x.service")
        );
        assert!(value(unit, "ExecStopPost").contains("--cleanup"));
        assert!(value(unit, "MemoryMax").contains("1073741824") && value(unit, "Restart").is_empty());
        assert!(value(unit, "Requires").contains("x.socket"));
        assert_eq!(request.auxiliary.len(), 1);
        let (name, socket) = &request.auxiliary[0];
        assert_eq!(name, "x.socket");
        assert!(value(socket, "Listen").contains("8080") && value(socket, "BindsTo").contains("x.service"));
    }

    #[test]
    fn a_client_has_a_service_that_ends_with_it() {
        let mut request = request("[Container]\nImage = \"a\"\n");
        let (lifeline, _ours) = nix::unistd::pipe().unwrap();
        let stream = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let given = Given {
            streams: Streams::Terminal {
                client: stream(),
                size: None,
                error: stream(),
            },
            lifeline,
        };
        bind(&mut request, given, Path::new("/shim"), Path::new("/x.json"), "x").unwrap();
        assert!(!value(&request.properties, "StandardInputFileDescriptor").is_empty());
        let start = value(&request.properties, "ExecStart");
        assert!(start.contains("--terminal") && start.contains("0x0"));
        assert!(value(&request.properties, "BindsTo").contains("x-client.service"));
        assert_eq!(request.auxiliary[0].0, "x-client.service");
        assert!(value(&request.auxiliary[0].1, "ExecStart").contains("--attend"));
    }
}
