//! Hostile definitions, from their text to the units: whatever is in them, the units say what Coracle means.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::{collection, option, sample};

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::name::escape;
use crate::definition::places::{Loaded, Scope};
use crate::definition::{Definition, Resolved, toml};
use crate::generate::{Context, Output, generate};

fn context() -> Context {
    Context {
        scope: Scope::System,
        output_directory: PathBuf::from("/run/systemd/generator"),
        shim: PathBuf::from("/usr/libexec/coracle/coracle-shim"),
        systemd_version: 257,
    }
}

/// Any text, most of which the parser lets through.
fn text() -> impl Strategy<Value = String> {
    let mild = [
        "a",
        "web",
        " ",
        "%",
        "%i",
        "$",
        "\\",
        "\"",
        "'",
        "[Service]",
        "ExecStart=/bin/sh",
        "=",
        ";",
        "#",
        "/",
        "../",
        ":",
        "@",
        ".",
        "ü",
        "-",
        "x.service",
        "no",
    ];
    let wild = ["a", "\n", "\r", "\0", "\u{7f}", "\\", "[Service]", "ExecStart=/bin/sh"];
    let some =
        |parts: &[&'static str]| collection::vec(sample::select(parts.to_vec()), 0..6).prop_map(|parts| parts.concat());
    prop_oneof![30 => some(&mild), 1 => some(&wild)]
}

/// A string as TOML spells it.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// A section with any keys and values.
fn section(name: &'static str) -> impl Strategy<Value = String> {
    let good = [
        "Description",
        "Restart",
        "WantedBy",
        "Alias",
        "ConditionHost",
        "Requires",
        "RequiresMountsFor",
        "MemoryMax",
        "DefaultInstance",
        "Back_log",
    ];
    let keys = prop_oneof![
        40 => sample::select(good.to_vec()),
        1 => sample::select(vec!["ExecStart\n", "Slice", "Type ", "", "[Service]\nA"]),
    ];
    let keys = keys.prop_map(str::to_owned);
    collection::btree_map(keys, collection::vec(text(), 0..3), 0..3).prop_map(move |lines| {
        let lines = lines.iter().map(|(key, values)| {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("{} = [{}]\n", quoted(key), values.join(", "))
        });
        format!("[{name}]\n{}", lines.collect::<String>())
    })
}

/// What a hostile file makes, with names that a file can have.
fn loaded() -> impl Strategy<Value = Loaded> {
    let names = sample::select(vec!["web", "web@", "web@a", "a-b"]);
    let image = sample::select(vec!["x", "x:%i", "y/x"]);
    let container = (
        text(),
        option::of(sample::select(vec!["web", "web@", "b@c", "b", "c.d", "a/b"])),
        option::weighted(0.3, text()),
    );
    let sockets = option::of((section("Socket"), section("Socket.a"), text()));
    let sections = (
        section("Unit"),
        section("Service"),
        section("Timer"),
        section("Install"),
    );
    (names, image, container, sockets, sections).prop_map(
        |(name, image, (volume, service_name, hostname), sockets, (unit, service, timer, install))| {
            let mut file = format!("[Container]\nImage = {}\n", quoted(image));
            file.push_str(&format!(
                "Volume = {}\n",
                quoted(&format!("/{}:/x", volume.replace(':', "")))
            ));
            for (key, value) in [("ServiceName", service_name), ("HostName", hostname.as_deref())] {
                file.extend(value.map(|value| format!("{key} = {}\n", quoted(value))));
            }
            if let Some((socket, other, address)) = sockets {
                file.push_str(&format!(
                    "{socket}ListenStream = \"1%i\"\nContainerListen = 80\n{other}ListenStream = {}\n",
                    quoted(&format!("/{address}"))
                ));
            }
            for section in [unit, service, timer, install] {
                file.push_str(&section);
            }
            let (definition, diagnostics) = toml::parse_merged(name, Path::new("/etc/coracle/%n x.toml"), &file, &[]);
            Loaded {
                definition,
                diagnostics,
            }
        },
    )
}

/// The unit as systemd splits it into lines: how often each section begins, and the values of a key.
fn sections(text: &str) -> BTreeMap<&str, usize> {
    let mut sections = BTreeMap::new();
    for line in text.split(['\n', '\r', '\0']).filter(|line| line.starts_with('[')) {
        *sections.entry(line).or_default() += 1;
    }
    sections
}

fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text.split(['\n', '\r', '\0']).filter_map(|line| line.split_once('='));
    lines
        .filter(|(other, _)| *other == key)
        .map(|(_, value)| value)
        .collect()
}

proptest! {
    #[test]
    fn no_text_gets_out_of_its_value(loaded in collection::vec(loaded(), 1..4)) {
        let output = generate(&loaded, &context());
        prop_assert_eq!(&output, &generate(&loaded, &context()));
        for (name, text) in &output.files {
            prop_assert!(is_file_name(name), "{:?}", name);
            if name.ends_with(".json") {
                prop_assert_eq!(text.lines().count(), 1);
                continue;
            }
            let kind = name.rsplit_once('.').unwrap().1;
            let own = format!("[{}{}]", kind[..1].to_uppercase(), &kind[1..]);
            let expected = BTreeMap::from([("[Unit]", 1), (own.as_str(), 1)]);
            let found = sections(text);
            prop_assert!(found == expected, "{}: {:?}", name, found);
            if kind == "service" {
                let commands = values(text, "ExecStart");
                prop_assert_eq!(commands.len(), 1, "{}", text);
                prop_assert!(commands[0].starts_with("/usr/libexec/coracle/coracle-shim "), "{}", text);
                prop_assert_eq!(values(text, "Type").len(), 1);
            }
        }
        for (path, target) in &output.links {
            let parts: Vec<&str> = path.split('/').collect();
            prop_assert!(parts.len() <= 2 && parts.iter().all(|part| is_file_name(part)), "{:?}", path);
            prop_assert!(output.files.contains_key(target.trim_start_matches("../")), "{:?}", target);
        }
    }
}

proptest! {
    #[test]
    fn no_name_gets_out_of_the_directory(name in text(), source in text()) {
        let mut loaded = named(&name, None);
        loaded.definition.source = PathBuf::from(source);
        let output = generate(&[loaded], &context());
        prop_assert_eq!(output.files.len(), 2);
        for (name, text) in &output.files {
            prop_assert!(is_file_name(name) && name.is_ascii(), "{:?}", name);
            prop_assert!(name.ends_with(".json") || sections(text).len() == 2, "{}", text);
        }
    }
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('/')
}

fn named(name: &str, severity: Option<Severity>) -> Loaded {
    let definition = Definition {
        name: name.to_owned(),
        source: PathBuf::from(format!("/etc/coracle/{name}.toml")),
        ..Definition::default()
    };
    let diagnostics = severity.map(|severity| Diagnostic::whole_file(severity, &definition.source, "text".to_owned()));
    Loaded {
        definition,
        diagnostics: diagnostics.into_iter().collect(),
    }
}

fn files(output: &Output) -> Vec<&str> {
    output.files.keys().map(String::as_str).collect()
}

#[test]
fn one_bad_definition_never_stops_another() {
    let all = [
        named("good", None),
        named("bad", Some(Severity::Error)),
        named("warned", Some(Severity::Warning)),
        named(&"x".repeat(300), None),
        named("a b", None),
        named("", None),
    ];
    let output = generate(&all, &context());
    let long = escape("x".repeat(300).as_bytes());
    let (long_json, long_service) = (format!("{long}.json"), format!("{long}.service"));
    let expected = [
        r"\x40.json",
        r"\x40.service",
        r"a\x20b.json",
        r"a\x20b.service",
        "bad.json",
        "bad.service",
        "good.json",
        "good.service",
        "warned.json",
        "warned.service",
        &long_json,
        &long_service,
    ];
    assert_eq!(files(&output), expected);
    let units: Vec<&str> = output.diagnostics.iter().map(|report| report.unit.as_str()).collect();
    assert_eq!(
        units,
        [
            "bad.service",
            "warned.service",
            &long_service,
            r"a\x20b.service",
            r"\x40.service"
        ]
    );
}

#[test]
fn three_of_one_name_are_one_broken_service() {
    let mut all = [named("a", None), named("b", None), named("c", None)];
    for one in &mut all {
        one.definition.passthrough.service_name = Some("web".to_owned());
    }
    let output = generate(&all, &context());
    assert_eq!(files(&output), ["web.json", "web.service"]);
    let message = &output.diagnostics[0].diagnostic.message;
    assert!(
        message.contains("'/etc/coracle/b.toml', '/etc/coracle/c.toml'"),
        "{message}"
    );
    assert!(output.files["web.json"].contains("broken"));
}

fn sorted(names: &[String]) -> BTreeSet<&String> {
    names.iter().collect()
}

/// The sockets with their links, and all files, of a definition.
fn sockets(name: &str, text: &str) -> (BTreeMap<String, String>, Output) {
    let (definition, diagnostics) = toml::parse_merged(name, Path::new("/etc/coracle/x.toml"), text, &[]);
    let loaded = Loaded {
        definition,
        diagnostics,
    };
    let output = generate(&[loaded], &context());
    let all = output.files.iter().chain(&output.links);
    let sockets = all.filter(|(name, _)| name.ends_with(".socket"));
    (
        sockets.map(|(name, text)| (name.clone(), text.clone())).collect(),
        output,
    )
}

#[test]
fn a_mistake_elsewhere_leaves_the_sockets_and_starts_no_container() {
    let ports = "Image = \"x\"\nPublishPort = [\"8080:80\", \"8443:443\"]\n";
    let more = "[Socket.a]\nListenStream = \"/run/%p.sock\"\nContainerListen = \"@a\"\nSocketMode = \"0600\"\n\
        [Unit]\nDescription = \"The web\"\nConditionHost = \"a\"\n[Install]\nWantedBy = \"a.target\"\nAlias = \"b.socket\"\n";
    for (name, keys) in [
        ("web", "Activation = \"intercept\"\n"),
        ("web", "Activation = \"proxy\"\nIdleTimeout = \"1min\"\n"),
        ("web", "Activation = \"accept\"\n"),
        ("web", "ServiceName = \"shop\"\n"),
        ("web@", "Activation = \"inherit\"\nIdleTimeout = \"1min\"\n"),
        ("web@", "Activation = \"proxy\"\n"),
        ("web@a", ""),
    ] {
        for mistake in ["UserNS = \"nonsense\"\n", "ReadOnly = 1\n", "HostName = web\n"] {
            let text = |mistake: &str| ["[Container]\n", keys, mistake, ports, more].concat();
            let (good, sound) = sockets(name, &text(""));
            let (open, broken) = sockets(name, &text(mistake));
            assert!(!good.is_empty() && sound.broken.is_empty(), "{sound:?}");
            assert_eq!(good, open, "{name}: {keys}{mistake}");
            assert!(broken.files.keys().eq(sound.files.keys()), "{broken:?}");
            let units = good.keys().filter(|name| sound.files.contains_key(*name));
            assert!(units.eq(sorted(&broken.broken[0].open)), "{:?}", broken.broken);
            let resolved = broken.files.iter().filter(|(name, _)| name.ends_with(".json"));
            let resolved: Vec<&String> = resolved.map(|(_, text)| text).collect();
            assert!(
                resolved.len() == 1 && resolved[0].starts_with("{\"broken\":"),
                "{resolved:?}"
            );
        }
    }
}

#[test]
fn what_is_written_is_what_the_shim_reads() {
    let output = generate(&[named("web", None)], &context());
    let resolved: Resolved = serde_json::from_str(&output.files["web.json"]).unwrap();
    assert_eq!(resolved, Resolved::Container(Box::new(named("web", None).definition)));
}
