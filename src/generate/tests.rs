//! Hostile definitions, which no parser would let through: whatever is in them, the units say what Coracle means.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};
use proptest::{collection, option, sample};

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::name::escape;
use crate::definition::places::{Loaded, Scope};
use crate::definition::{
    Container, ContainerAddress, Definition, Listen, Passthrough, Resolved, Root, Socket, SocketKind, Volume,
};
use crate::generate::{Context, Output, generate};

fn context() -> Context {
    Context {
        scope: Scope::System,
        output_directory: PathBuf::from("/run/systemd/generator"),
        shim: PathBuf::from("/usr/libexec/coracle/coracle-shim"),
        systemd_version: 257,
    }
}

fn loaded(definition: Definition) -> Loaded {
    Loaded {
        definition,
        diagnostics: Vec::new(),
    }
}

fn text() -> impl Strategy<Value = String> {
    let parts = [
        "a",
        "web",
        " ",
        "%",
        "%i",
        "$",
        "\\",
        "\"",
        "'",
        "\n",
        "\r",
        "\0",
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
        "\u{7f}",
        "-",
        "x.service",
    ];
    collection::vec(sample::select(parts.to_vec()), 0..6).prop_map(|parts| parts.concat())
}

fn lines() -> impl Strategy<Value = Vec<(String, String)>> {
    let keys = [
        "Description",
        "ExecStart\n",
        "Slice",
        "Restart",
        "Type ",
        "WantedBy",
        "Alias",
        "Condition",
        "Requires",
        "",
        "MemoryMax",
        "DefaultInstance",
        "[Service]\nA",
    ];
    collection::vec((sample::select(keys.to_vec()).prop_map(str::to_owned), text()), 0..5)
}

fn socket() -> impl Strategy<Value = Socket> {
    (text(), text(), text(), lines()).prop_map(|(name, unit, address, options)| Socket {
        name,
        unit,
        listen: vec![Listen {
            kind: SocketKind::Stream,
            address,
            container: ContainerAddress::Port(80),
        }],
        options,
    })
}

fn definition() -> impl Strategy<Value = Definition> {
    let sections = (lines(), lines(), lines(), lines(), option::of(text()));
    (
        text(),
        text(),
        text(),
        text(),
        collection::vec(socket(), 0..3),
        sections,
    )
        .prop_map(
            |(name, source, image, volume, sockets, (unit, service, timer, install, service_name))| Definition {
                name,
                source: PathBuf::from(source),
                drop_ins: Vec::new(),
                container: Container {
                    root: Root::Image(image),
                    volumes: vec![Volume {
                        source: PathBuf::from(format!("/{volume}")),
                        target: PathBuf::from("/x"),
                        read_only: false,
                    }],
                    ..Container::default()
                },
                sockets,
                passthrough: Passthrough {
                    unit,
                    service,
                    timer,
                    install,
                    service_name,
                },
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
    fn no_text_gets_out_of_its_value(definitions in collection::vec(definition(), 1..4)) {
        let loaded: Vec<Loaded> = definitions.into_iter().map(loaded).collect();
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
            prop_assert!(found == expected || (kind == "timer" && found.len() == 1), "{}: {:?}", name, found);
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

#[test]
fn what_is_written_is_what_the_shim_reads() {
    let output = generate(&[named("web", None)], &context());
    let resolved: Resolved = serde_json::from_str(&output.files["web.json"]).unwrap();
    assert_eq!(resolved, Resolved::Container(Box::new(named("web", None).definition)));
}
