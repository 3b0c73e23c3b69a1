//! Conditions and assertions of `[Unit]` where sockets start the container (systemd.unit(5), "Conditions and Asserts").
//!
//! systemd closes a socket for good when a connection starts a service whose condition is false. So that service has none, and the question
//! decides who asks it. What the machine is stays so while it runs: that is the socket's, and where it does not hold there is no port. What
//! comes and goes, a file, a mount or the mains, is asked inside each start by the shim ([`crate::run::condition`]): the start fails while it
//! does not hold and is tried again as every other, and whoever has connected waits meanwhile.

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

/// What the sockets' units say.
#[must_use]
pub fn of_socket<'a>(definition: &'a Definition, context: &Context) -> Lines<'a> {
    let families = FAMILIES.into_iter().map(|family| split(definition, family, context));
    let lines = families.flat_map(|(_, lines)| lines);
    lines.map(|line| (line.key(), line.value().into())).collect()
}

/// What the shim asks: words of its command line, as systemd-analyze(1) takes them.
pub fn of_start<'a>(definition: &'a Definition, context: &Context) -> impl Iterator<Item = String> + use<'a> {
    let families = FAMILIES.map(|family| split(definition, family, context));
    let lines = families.into_iter().flat_map(|(lines, _)| lines);
    lines.map(|line| {
        // systemd resolves the specifiers, since it knows the unit; then systemd-analyze(1) does, and must find none.
        let value = line.value().replace("%%", "%%%%");
        quote::expanded_command_word(&[line.key(), "=", &value].concat()).into_owned()
    })
}

/// The lines of a family that count: those for the start, and those for the sockets.
fn split<'a>(definition: &'a Definition, family: &str, context: &Context) -> (Vec<&'a Line>, Vec<&'a Line>) {
    let unit = &definition.passthrough.unit;
    let lines = unit.iter().filter(|line| line.key().starts_with(family));
    let mut lines: Vec<&Line> = lines.collect();
    // An empty one takes back all before it.
    if let Some(last) = lines.iter().rposition(|line| line.value().trim().is_empty()) {
        lines.drain(..=last);
    }
    let comes_and_goes = |line: &Line| comes_and_goes(&line.key()[family.len()..], context.systemd_version);
    // Of the alternatives one is enough, so whoever asks must ask all.
    let is_alternative = |line: &Line| line.value().trim_start().starts_with('|');
    let alternatives = lines.iter().any(|line| is_alternative(line) && comes_and_goes(line));
    lines.into_iter().partition(|line| match is_alternative(line) {
        true => alternatives,
        false => comes_and_goes(line),
    })
}

/// Whether what a condition is about may change while the machine runs. Those that came later are nothing to an older systemd, and the
/// socket's unit is where it says so.
fn comes_and_goes(about: &str, systemd_version: u32) -> bool {
    match about {
        "PathExists" | "PathExistsGlob" | "PathIsDirectory" | "PathIsSymbolicLink" | "PathIsMountPoint"
        | "PathIsReadWrite" | "PathIsEncrypted" | "DirectoryNotEmpty" | "FileNotEmpty" | "FileIsExecutable"
        | "NeedsUpdate" | "ACPower" | "MemoryPressure" | "CPUPressure" | "IOPressure" => true,
        "PathIsSocket" | "KernelModuleLoaded" => systemd_version >= 258,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{of_socket, of_start};
    use crate::definition::places::Scope;
    use crate::definition::toml::parse;
    use crate::generate::Context;

    fn split(unit: &str, systemd_version: u32) -> (Vec<String>, Vec<String>) {
        let text = format!("[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n[Unit]\n{unit}");
        let (definition, diagnostics) = parse(Path::new("/etc/coracle/web.toml"), &text);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let context = Context {
            scope: Scope::System,
            output_directory: "/run/systemd/generator".into(),
            shim: "/usr/libexec/coracle/coracle-shim".into(),
            systemd_version,
        };
        let socket = of_socket(&definition, &context).into_iter();
        let socket = socket.map(|(key, value)| [key, "=", &value].concat()).collect();
        (of_start(&definition, &context).collect(), socket)
    }

    #[test]
    fn what_comes_and_goes_is_asked_at_each_start() {
        let unit = r#"
            ConditionHost = "alpha"
            ConditionPathExists = ["/a b", "!/c/%i", "/5%%"]
            AssertPathIsMountPoint = "/srv"
            AssertArchitecture = "x86-64"
        "#;
        let (start, socket) = split(unit, 252);
        assert_eq!(
            start,
            [
                r#""ConditionPathExists=/a b""#,
                r#""ConditionPathExists=!/c/%i""#,
                "ConditionPathExists=/5%%%%",
                "AssertPathIsMountPoint=/srv"
            ]
        );
        assert_eq!(socket, ["ConditionHost=alpha", "AssertArchitecture=x86-64"]);
    }

    #[test]
    fn alternatives_stay_together() {
        let (start, socket) = split("ConditionHost = \"|alpha\"\nConditionPathExists = \"|/a\"\n", 252);
        assert_eq!((start.len(), socket.len()), (2, 0));
        let (start, socket) = split(
            "ConditionHost = [\"|alpha\", \"|beta\"]\nAssertPathExists = \"|/a\"\n",
            252,
        );
        assert_eq!((start.len(), socket.len()), (1, 2));
    }

    #[test]
    fn an_empty_one_takes_back_its_family() {
        let unit = "ConditionHost = [\"a\", \"\"]\nConditionPathExists = \"/a\"\nAssertHost = \"b\"\n";
        let (start, socket) = split(unit, 252);
        assert_eq!(
            (start, socket),
            (
                vec!["ConditionPathExists=/a".to_owned()],
                vec!["AssertHost=b".to_owned()]
            )
        );
        assert_eq!(split("ConditionPathExists = [\"/a\", \"\"]\n", 252), (vec![], vec![]));
    }

    #[test]
    fn an_older_systemd_is_not_asked_what_it_does_not_know() {
        let unit = "ConditionPathIsSocket = \"/run/x\"\n";
        assert_eq!(
            split(unit, 257),
            (vec![], vec!["ConditionPathIsSocket=/run/x".to_owned()])
        );
        assert_eq!(
            split(unit, 258),
            (vec!["ConditionPathIsSocket=/run/x".to_owned()], vec![])
        );
    }
}
