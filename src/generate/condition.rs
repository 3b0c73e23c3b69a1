//! Conditions and assertions of `[Unit]` where sockets start the container (systemd.unit(5), "Conditions and Asserts").
//!
//! systemd closes a socket for good when a connection starts a service whose condition is false. So that service has none, and who asks
//! depends on what is asked. What comes and goes, a file, a mount or the mains, is asked inside each start by the shim
//! ([`crate::run::condition`]): the start fails while it does not hold and is tried again as every other, and whoever has connected waits
//! meanwhile. What the machine is stays so while it runs: that is asked by whatever starts the container, the socket or the timer, and where
//! it does not hold there is no port. The shim asks it only where it comes without a socket, by hand or from another unit.

use crate::definition::Definition;
use crate::generate::Context;
use crate::generate::service::Lines;
use crate::unitfile::line::Line;
use crate::unitfile::quote;

/// Both families; systemd judges each for itself.
const FAMILIES: [&str; 2] = ["Condition", "Assert"];

/// Whether a key of `[Unit]` is a condition or an assertion.
#[must_use]
pub fn is_one(key: &str) -> bool {
    FAMILIES.iter().any(|family| key.starts_with(family))
}

/// Who asks what.
#[derive(Debug, Default)]
pub struct Conditions<'a> {
    /// The shim, at each start.
    coming_and_going: Vec<&'a Line>,
    /// Whatever starts the container, and the shim where that is neither a socket nor a timer.
    lasting: Vec<&'a Line>,
    /// Whatever starts the container, and nobody else.
    others: Vec<&'a Line>,
}

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// What comes and goes.
    Now,
    /// What stays so while the machine runs.
    Machine,
    /// What only the manager can tell: it is about itself.
    Manager,
    /// Nobody here knows. If systemd does not either, it says so of the unit.
    Unknown,
}

impl<'a> Conditions<'a> {
    /// Those of a definition that sockets start; of another there is nothing to be done.
    #[must_use]
    pub fn of(definition: &'a Definition, context: &Context) -> Self {
        let mut all = Self::default();
        if definition.sockets.is_empty() {
            return all;
        }
        for family in FAMILIES {
            let lines = counting(definition, family);
            let about = |line: &Line| about(&line.key()[family.len()..], line.value(), context.systemd_version);
            // Of the alternatives one is enough, so whoever asks must ask all.
            let has_alternative = |wanted| lines.iter().any(|line| is_alternative(line) && about(line) == wanted);
            let together = match (has_alternative(About::Manager), has_alternative(About::Now)) {
                (true, _) => About::Manager,
                (false, true) => About::Now,
                (false, false) => About::Machine,
            };
            for line in lines {
                let about = match about(line) {
                    About::Unknown => About::Unknown,
                    _ if is_alternative(line) => together,
                    about => about,
                };
                match about {
                    About::Now => all.coming_and_going.push(line),
                    About::Machine => all.lasting.push(line),
                    About::Manager | About::Unknown => all.others.push(line),
                }
            }
        }
        all
    }

    /// `[Unit]` of what starts the container.
    #[must_use]
    pub fn of_starters(&self) -> Lines<'a> {
        let lines = self.lasting.iter().chain(&self.others);
        lines.map(|line| (line.key(), line.value().into())).collect()
    }

    /// What the shim asks, behind its other arguments. systemd resolves the specifiers, since it knows the unit.
    #[must_use]
    pub fn arguments(&self) -> String {
        let word =
            |line: &&Line| quote::expanded_command_word(&[line.key(), "=", line.value().trim()].concat()).into_owned();
        let mut words: Vec<String> = self.coming_and_going.iter().map(word).collect();
        if !self.lasting.is_empty() {
            words.push("--".to_owned());
            words.extend(self.lasting.iter().map(word));
        }
        words.iter().flat_map(|word| [" ", word]).collect()
    }
}

/// The lines of a family. An empty one takes back all before it.
fn counting<'a>(definition: &'a Definition, family: &str) -> Vec<&'a Line> {
    let unit = &definition.passthrough.unit;
    let lines = unit.iter().filter(|line| line.key().starts_with(family));
    let mut lines: Vec<&Line> = lines.collect();
    if let Some(last) = lines.iter().rposition(|line| line.value().trim().is_empty()) {
        lines.drain(..=last);
    }
    lines
}

fn is_alternative(line: &Line) -> bool {
    line.value().trim_start().starts_with('|')
}

/// What the condition of this name, without its family's, is about.
fn about(name: &str, value: &str, systemd_version: u32) -> About {
    match name {
        "PathExists" | "PathExistsGlob" | "PathIsDirectory" | "PathIsSymbolicLink" | "PathIsMountPoint"
        | "PathIsReadWrite" | "PathIsEncrypted" | "DirectoryNotEmpty" | "FileNotEmpty" | "FileIsExecutable"
        | "NeedsUpdate" | "ACPower" => About::Now,
        "PathIsSocket" | "KernelModuleLoaded" if systemd_version >= 258 => About::Now,
        // A slice is looked for below the group of who asks.
        "MemoryPressure" | "CPUPressure" | "IOPressure" if value.contains(':') => About::Manager,
        "MemoryPressure" | "CPUPressure" | "IOPressure" => About::Now,
        "Environment" | "Credential" | "CPUs" => About::Manager,
        "Architecture"
        | "Firmware"
        | "Virtualization"
        | "Host"
        | "KernelCommandLine"
        | "KernelVersion"
        | "Security"
        | "Capability"
        | "FirstBoot"
        | "User"
        | "Group"
        | "ControlGroupController"
        | "Memory"
        | "CPUFeature"
        | "OSRelease" => About::Machine,
        "Version" if systemd_version >= 258 => About::Machine,
        _ => About::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Conditions;
    use crate::definition::places::Scope;
    use crate::definition::toml::parse;
    use crate::generate::Context;

    /// What the shim is told, and what the socket asks.
    fn split(unit: &str, systemd_version: u32) -> (String, Vec<String>) {
        let text = format!("[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n[Unit]\n{unit}");
        let (definition, diagnostics) = parse(Path::new("/etc/coracle/web.toml"), &text);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let context = Context {
            scope: Scope::System,
            output_directory: "/run/systemd/generator".into(),
            shim: "/usr/libexec/coracle/coracle-shim".into(),
            systemd_version,
        };
        let conditions = Conditions::of(&definition, &context);
        let lines = conditions.of_starters().into_iter();
        let lines = lines.map(|(key, value)| [key, "=", &value].concat()).collect();
        (conditions.arguments(), lines)
    }

    #[test]
    fn what_comes_and_goes_is_asked_at_each_start() {
        let unit = r#"
            ConditionHost = "alpha"
            ConditionPathExists = ["/a b ", "!/c/%I", "/5%%"]
            AssertPathIsMountPoint = "/srv"
            AssertArchitecture = "x86-64"
        "#;
        let (arguments, socket) = split(unit, 252);
        assert_eq!(
            arguments,
            " \"ConditionPathExists=/a b\" \"ConditionPathExists=!/c/%I\" ConditionPathExists=/5%% AssertPathIsMountPoint=/srv \
             -- ConditionHost=alpha AssertArchitecture=x86-64"
        );
        assert_eq!(socket, ["ConditionHost=alpha", "AssertArchitecture=x86-64"]);
        assert_eq!(split("", 252), (String::new(), vec![]));
    }

    #[test]
    fn alternatives_stay_together() {
        let (arguments, socket) = split("ConditionHost = \"|alpha\"\nConditionPathExists = \"|/a\"\n", 252);
        assert_eq!(arguments, " \"ConditionHost=|alpha\" \"ConditionPathExists=|/a\"");
        assert!(socket.is_empty());
        let (arguments, socket) = split(
            "ConditionHost = [\"|alpha\", \"|beta\"]\nAssertPathExists = \"|/a\"\n",
            252,
        );
        assert!(arguments.starts_with(" \"AssertPathExists=|/a\" -- "), "{arguments}");
        assert_eq!(socket.len(), 2);
        let (arguments, socket) = split(
            "ConditionEnvironment = \"|A\"\nConditionPathExists = [\"|/a\", \"/b\"]\n",
            252,
        );
        assert_eq!((arguments.as_str(), socket.len()), (" ConditionPathExists=/b", 2));
    }

    #[test]
    fn an_empty_one_takes_back_its_family() {
        let unit = "ConditionHost = [\"a\", \"\"]\nConditionPathExists = \"/a\"\nAssertHost = \"b\"\n";
        let (arguments, socket) = split(unit, 252);
        assert_eq!(arguments, " ConditionPathExists=/a -- AssertHost=b");
        assert_eq!(socket, ["AssertHost=b"]);
        assert_eq!(
            split("ConditionPathExists = [\"/a\", \"\"]\n", 252),
            (String::new(), vec![])
        );
    }

    #[test]
    fn what_systemd_does_not_know_yet_or_only_it_can_ask_is_the_sockets() {
        for (unit, version) in [
            ("ConditionPathIsSocket=/run/x", 257),
            ("ConditionPathIsSocket=|/run/x", 257),
            ("ConditionNothing=x", 262),
            ("ConditionMemoryPressure=x.slice:10%%", 262),
        ] {
            let (key, value) = unit.split_once('=').expect("a line");
            let line = format!("{key} = \"{value}\"\n");
            assert_eq!(split(&line, version), (String::new(), vec![unit.to_owned()]));
        }
        let (arguments, socket) = split("ConditionPathIsSocket = \"/run/x\"\n", 258);
        assert_eq!((arguments.as_str(), socket.len()), (" ConditionPathIsSocket=/run/x", 0));
    }
}
