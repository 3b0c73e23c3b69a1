//! From what was typed to a definition: every option is a key, and means what that key means in a file.
//!
//! The options become settings as a front end makes them, and the same resolver decides what they mean. What stands for the file's text,
//! so that a diagnostic has something to point at, is a list of the options. A percent sign that is typed is a percent sign, where it starts
//! a specifier in a file; but `--key` is a line of a file, and has specifiers.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::cli::output::visible;
use crate::cli::run::Arguments;
use crate::definition::keys::{self, Key, Kind, Section};
use crate::definition::places::Loaded;
use crate::definition::report::{Report, Span};
use crate::definition::resolve::resolve;
use crate::definition::setting::{Data, Setting, Settings, Value};
use crate::systemd::property;

/// What was typed as settings, and the text that diagnostics point at.
#[derive(Default)]
struct Typed {
    text: String,
    settings: Settings<'static>,
}

/// The definition that the options make; `resolved` is where it will lie.
///
/// # Errors
/// An option that is no key. Wrong values are diagnostics.
pub(super) fn load(arguments: &Arguments, stem: &str, resolved: PathBuf) -> Result<Loaded> {
    let typed = typed(arguments)?;
    // Relative paths of volumes start from here.
    let here = std::env::current_dir().context("finding the current directory")?;
    let source = here.join(stem);
    let mut report = Report::new([(source.as_path(), typed.text.as_str())]);
    let mut definition = resolve(stem, &source, &typed.settings, &mut report);
    let diagnostics = report.finish();
    definition.source = resolved;
    Ok(Loaded {
        definition,
        diagnostics,
    })
}

fn typed(arguments: &Arguments) -> Result<Typed> {
    let mut typed = Typed::default();
    let (image, command) = arguments.words.split_first().context("there is no image")?;
    match image.starts_with(['/', '.']) {
        true => typed.text("Rootfs", image, absolute(image)?),
        false => typed.text("Image", image, image.clone()),
    }
    if !command.is_empty() {
        typed.set(Section::Container, "Exec", &command.join(" "), list(command));
    }
    if let Some(entrypoint) = &arguments.entrypoint {
        let words = match entrypoint.starts_with('[') {
            true => serde_json::from_str(entrypoint).context("'--entrypoint' is no JSON array of strings")?,
            false => vec![entrypoint.clone()],
        };
        typed.option("Entrypoint", "--entrypoint", entrypoint, list(&words));
    }
    if arguments.tty {
        let terminal = std::env::var("TERM").ok().filter(|terminal| !terminal.is_empty());
        let terminal = terminal.unwrap_or_else(|| "xterm".to_owned());
        typed.option("Environment", "--tty", "", list(&[format!("TERM={terminal}")]));
    }
    for variable in &arguments.env {
        let pair = match variable.contains('=') {
            true => Some(variable.clone()),
            false => std::env::var(variable).ok().map(|value| format!("{variable}={value}")),
        };
        // One that is not set here is not set there.
        if let Some(pair) = pair {
            typed.option("Environment", "--env", variable, list(&[pair]));
        }
    }
    let repeated = [
        ("Volume", "--volume", &arguments.volume),
        ("Tmpfs", "--tmpfs", &arguments.tmpfs),
        ("PublishPort", "--publish", &arguments.publish),
        ("Network", "--network", &arguments.network),
        ("AddCapability", "--cap-add", &arguments.cap_add),
        ("DropCapability", "--cap-drop", &arguments.cap_drop),
    ];
    for (key, option, values) in repeated {
        for value in values {
            typed.option(key, option, value, literal(value));
        }
    }
    let single = [
        ("User", "--user", &arguments.user),
        ("WorkingDir", "--workdir", &arguments.workdir),
        ("HostName", "--hostname", &arguments.hostname),
    ];
    for (key, option, value) in single {
        if let Some(value) = value {
            typed.option(key, option, value, literal(value));
        }
    }
    if arguments.read_only {
        typed.option("ReadOnly", "--read-only", "", Data::Boolean(true));
    }
    for pair in &arguments.key {
        typed.key(pair)?;
    }
    typed.service(arguments)?;
    Ok(typed)
}

impl Typed {
    fn text(&mut self, key: &'static str, shown: &str, value: String) {
        self.set(Section::Container, key, shown, Data::Text(value.into()));
    }

    fn option(&mut self, key: &'static str, option: &str, value: &str, data: Data<'static>) {
        let shown = if value.is_empty() {
            option.to_owned()
        } else {
            format!("{option}={value}")
        };
        self.set(Section::Container, key, &shown, data);
    }

    /// `--key KEY=VALUE`: a line of a file, in which what is not a string needs no TOML.
    fn key(&mut self, pair: &str) -> Result<()> {
        let (name, value) = pair
            .split_once('=')
            .with_context(|| format!("'--key={pair}' is not KEY=VALUE"))?;
        let Some(key) = keys::find(Section::Container, name) else {
            match keys::nearest(Section::Container, name) {
                Some(near) => bail!(
                    "'--key={pair}': there is no key '{name}', did you mean '{}'?",
                    near.name
                ),
                None => bail!("'--key={pair}': there is no key '{name}'; 'coracle explain' lists them"),
            }
        };
        self.set(
            Section::Container,
            key.name,
            &format!("--key={pair}"),
            of_kind(key, value),
        );
        Ok(())
    }

    /// What concerns the unit.
    fn service(&mut self, arguments: &Arguments) -> Result<()> {
        for pair in &arguments.property {
            let (key, value) = property::split(pair)?;
            property::parse(key, value)?;
            let section = if is_of_unit(key) {
                Section::Unit
            } else {
                Section::Service
            };
            self.push(
                section,
                Cow::Owned(key.to_owned()),
                &format!("--property={pair}"),
                literal(value),
            );
        }
        if let Some(slice) = &arguments.slice {
            let full = if slice.ends_with(".slice") {
                slice.clone()
            } else {
                format!("{slice}.slice")
            };
            self.set(Section::Service, "Slice", &format!("--slice={slice}"), literal(&full));
        }
        // Gone when it has ended, however it did, and never started again: its definition is gone with it.
        self.set(Section::Unit, "CollectMode", "", literal("inactive-or-failed"));
        Ok(())
    }

    fn set(&mut self, section: Section, key: &'static str, shown: &str, data: Data<'static>) {
        self.push(section, Cow::Borrowed(key), shown, data);
    }

    fn push(&mut self, section: Section, key: Cow<'static, str>, shown: &str, data: Data<'static>) {
        let start = self.text.len();
        self.text.push_str(&visible(shown));
        let span = Span {
            file: 0,
            start,
            end: self.text.len(),
        };
        self.text.push('\n');
        let value = Value { data, span };
        self.settings.settings.push(Setting {
            section,
            socket: None,
            key,
            key_span: span,
            value,
        });
    }
}

/// Text as it is: no specifier is meant.
fn literal(text: &str) -> Data<'static> {
    Data::Text(Cow::Owned(text.replace('%', "%%")))
}

fn list(texts: &[String]) -> Data<'static> {
    let value = |text: &String| Value {
        data: literal(text),
        span: Span::default(),
    };
    Data::List(texts.iter().map(value).collect())
}

fn absolute(path: &str) -> Result<String> {
    let path = std::path::absolute(path).with_context(|| format!("finding '{path}'"))?;
    let path = path.to_str().context("the directory's name is not valid UTF-8")?;
    Ok(path.replace('%', "%%"))
}

/// A value in the type that the key takes, as far as its text allows; else the resolver says what it takes.
fn of_kind(key: &Key, value: &str) -> Data<'static> {
    let text = || Data::Text(Cow::Owned(value.to_owned()));
    match key.kind {
        Kind::Boolean => match value {
            "true" | "yes" | "on" | "1" => Data::Boolean(true),
            "false" | "no" | "off" | "0" => Data::Boolean(false),
            _ => text(),
        },
        Kind::Integer => value.parse().map_or_else(|_| text(), Data::Integer),
        _ => text(),
    }
}

/// Whether a property belongs into `[Unit]`.
fn is_of_unit(key: &str) -> bool {
    const KEYS: [&str; 15] = [
        "After",
        "Before",
        "BindsTo",
        "CollectMode",
        "Conflicts",
        "DefaultDependencies",
        "Description",
        "OnFailure",
        "OnSuccess",
        "PartOf",
        "Requires",
        "RequiresMountsFor",
        "StopWhenUnneeded",
        "Wants",
        "WantsMountsFor",
    ];
    KEYS.contains(&key) || key.starts_with("StartLimit")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::definition::Root;
    use crate::definition::network::Network;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        run: Arguments,
    }

    fn loaded(line: &[&str]) -> Loaded {
        let line = Line::try_parse_from(std::iter::once(&"run").chain(line)).unwrap();
        load(&line.run, "x", PathBuf::from("/run/coracle/run/x.json")).unwrap()
    }

    #[test]
    fn options_are_keys() {
        let loaded = loaded(&[
            "-e",
            "A=1 %n",
            "-v",
            "/srv:/data:ro",
            "-v",
            "./x:/y",
            "--tmpfs",
            "/tmp",
            "--read-only",
            "--network",
            "host",
            "-u",
            "app",
            "-w",
            "/srv",
            "--hostname",
            "box",
            "--cap-add",
            "net_raw",
            "--cap-drop",
            "all",
            "-k",
            "StopSignal=SIGINT",
            "-k",
            "RunInit=yes",
            "--property",
            "MemoryMax=256M",
            "--slice",
            "batch",
            "localhost/x",
            "date",
            "+%Y",
            "-u",
        ]);
        assert_eq!(loaded.diagnostics, []);
        let container = &loaded.definition.container;
        assert_eq!(container.root, Root::Image("localhost/x".into()));
        // The command's own options are the command's, and a percent sign is one.
        assert_eq!(container.exec.as_deref().unwrap(), ["date", "+%%Y", "-u"]);
        assert_eq!(container.environment, [("A".to_owned(), "1 %%n".to_owned())]);
        assert!(container.volumes[0].read_only && container.read_only);
        assert!(container.volumes[1].source.is_absolute());
        assert_eq!((&container.network, container.stop_signal), (&Network::Host, Some(2)));
        assert_eq!(container.user.as_deref(), Some("app"));
        let service = &loaded.definition.passthrough.service;
        let has = |key: &str, value: &str| service.iter().any(|line| line.key() == key && line.value() == value);
        assert!(has("MemoryMax", "256M") && has("Slice", "batch.slice"));
    }

    #[test]
    fn mistakes_point_at_the_option() {
        let loaded = loaded(&["-p", "99999:80", "localhost/x"]);
        assert_eq!(loaded.diagnostics[0].source_line, "--publish=99999:80");
        let line = Line::try_parse_from(["run", "-k", "Imgae=x", "y"]).unwrap();
        let error = load(&line.run, "x", PathBuf::new()).unwrap_err().to_string();
        assert!(error.contains("did you mean 'Image'?"), "{error}");
        let line = Line::try_parse_from(["run", "--property", "MemoryMaks=1", "y"]).unwrap();
        let error = load(&line.run, "x", PathBuf::new()).unwrap_err().to_string();
        assert!(error.contains("did you mean 'MemoryMax'?"), "{error}");
    }
}
