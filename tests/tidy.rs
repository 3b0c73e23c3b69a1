//! Reads the sources and holds them to what the architecture document and the house style say.
//!
//! The floors are read from the document in `src/lib.rs` itself, so that document and check cannot part. Each rule is a function from
//! text to complaints and has an example that it refuses: a rule that cannot fail is no rule.

#![allow(clippy::unwrap_used, reason = "a test may stop where its set-up fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer without its tests.
const LONGEST: usize = 500;

/// Tables of keys and of system calls, which are read by looking things up and not from top to bottom: they may be longer.
const TABLES: [&str; 3] = [
    "src/definition/keys/container.rs",
    "src/plan/seccomp/call.rs",
    "src/plan/seccomp/default.rs",
];

/// Names of modules that say nothing.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "types", "misc"];

/// The user's own list of crates: each has its place in the document, or the reason for its absence.
const ASKED_FOR: [&str; 11] = [
    "toml",
    "serde",
    "clap",
    "oci-spec",
    "nix",
    "listenfd",
    "sd-notify",
    "zbus",
    "tokio",
    "libcgroups",
    "tracing-journald",
];

/// What decides and does not act, as the table of the modules says; behind each what is excepted.
const DECIDING: [(&str, &[&str]); 8] = [
    ("src/activation", &[]),
    ("src/plan", &[]),
    ("src/oci/plan", &[]),
    ("src/definition", &["src/definition/places"]),
    ("src/generate", &["invocation", "report", "run", "version", "write"]),
    ("src/image", &[]),
    ("src/threads", &[]),
    ("src/unitfile", &[]),
];

/// What opens files, reads the environment or talks to others.
const ACTING: [&str; 8] = [
    "std::fs",
    "fs::",
    "TcpStream",
    "os::unix::net",
    "process::Command",
    "env::var",
    "env::args",
    "env::current",
];

/// What ends the program where an error would do. An index out of bounds does too, but is not seen by looking.
const PANICS: [&str; 6] = [
    ".unwrap()",
    ".expect(",
    "panic!",
    "unreachable!",
    "todo!",
    "unimplemented!",
];

/// One source file below the package's root.
struct Source {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for directory in ["generator", "src", "tests"] {
        collect(&root().join(directory), &mut files);
    }
    files.sort();
    assert!(files.len() > 10, "the sources were not found");
    files
        .into_iter()
        .map(|file| Source {
            text: fs::read_to_string(&file).unwrap(),
            path: file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn document() -> String {
    document_of(&fs::read_to_string(root().join("src/lib.rs")).unwrap())
}

/// The `//!` lines at the top of a file.
fn document_of(text: &str) -> String {
    text.lines()
        .take_while(|line| line.starts_with("//!"))
        .map(|line| line.trim_start_matches("//!").to_owned() + "\n")
        .collect()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

// The rules.

fn opens_with_a_document(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//! ").is_some_and(|sentence| sentence.len() > 10);
    complain(!says_something, source, "does not open with a sentence in '//!'")
}

fn is_short_enough(source: &Source) -> Vec<String> {
    let excepted = TABLES.contains(&source.path.as_str());
    let tests = is_test(source);
    let lines = without_tests(&code(&source.text)).lines().count();
    complain(
        lines > LONGEST && !tests && !excepted,
        source,
        &format!("has {lines} lines without its tests, {LONGEST} are allowed"),
    )
}

fn keeps_unsafe_in_sys(source: &Source) -> Vec<String> {
    let sys = source.path == "src/sys.rs" || source.path.starts_with("src/sys/");
    let found = words(&code(&source.text)).any(|word| word == "unsafe");
    complain(found && !sys, source, "has unsafe code, which only src/sys may have")
}

fn has_an_honest_name(source: &Source) -> Vec<String> {
    let parts = source.path.trim_end_matches(".rs").split('/').skip(1);
    let mut complaints = complain(
        source.path.ends_with("/mod.rs"),
        source,
        "is a mod.rs: put it beside its folder",
    );
    for part in parts.filter(|part| EMPTY_NAMES.contains(part)) {
        complaints.extend(complain(
            true,
            source,
            &format!("has a name that says nothing: '{part}'"),
        ));
    }
    complaints
}

fn imports_plainly(source: &Source) -> Vec<String> {
    if is_test(source) {
        return Vec::new();
    }
    let code = without_tests(&code(&source.text));
    let mut complaints = Vec::new();
    for statement in uses(&code) {
        complaints.extend(complain(
            statement.contains('*'),
            source,
            &format!("has a glob: '{statement}'"),
        ));
        let public = statement.starts_with("pub") && !statement.starts_with("pub(self)");
        complaints.extend(complain(public, source, &format!("has a re-export: '{statement}'")));
        let parent = statement.contains("super::");
        complaints.extend(complain(
            parent,
            source,
            &format!("has a relative path, write crate::…: '{statement}'"),
        ));
    }
    complaints
}

fn stays_on_its_floor(source: &Source, floors: &[String]) -> Vec<String> {
    let Some(own) = floor_of(&source.path) else {
        return Vec::new();
    };
    let Some(height) = floors.iter().position(|floor| floor == own) else {
        return complain(
            true,
            source,
            &format!("belongs to '{own}', which has no floor in src/lib.rs"),
        );
    };
    // Tests are held to the floors too: what they need from above belongs into tests/.
    let code = code(&source.text);
    let mut complaints = Vec::new();
    for used in used_modules(&code) {
        match floors.iter().position(|floor| *floor == used) {
            Some(other) if other < height => {
                complaints.extend(complain(
                    true,
                    source,
                    &format!("uses '{used}', which lies above '{own}'"),
                ));
            }
            Some(_) => {}
            None => complaints.extend(complain(
                true,
                source,
                &format!("uses 'crate::{used}', which is no module with a floor"),
            )),
        }
    }
    complaints
}

fn never_panics(source: &Source) -> Vec<String> {
    if is_test(source) {
        return Vec::new();
    }
    let code = without_tests(&code(&source.text));
    let found = PANICS.into_iter().filter(|panics| code.contains(panics));
    found
        .flat_map(|panics| complain(true, source, &format!("may panic with '{panics}'")))
        .collect()
}

fn only_decides(source: &Source) -> Vec<String> {
    let path = source.path.trim_end_matches(".rs");
    let inside = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
    let Some((_, excepted)) = DECIDING.iter().find(|(prefix, _)| inside(prefix)) else {
        return Vec::new();
    };
    let file = path.rsplit('/').next().unwrap_or_default();
    if is_test(source) || excepted.iter().any(|excepted| inside(excepted) || file == *excepted) {
        return Vec::new();
    }
    let code = without_tests(&code(&source.text));
    let acts = ACTING.into_iter().filter(|acting| code.contains(acting));
    acts.flat_map(|acting| {
        complain(
            true,
            source,
            &format!("is to decide and not to act, but has '{acting}'"),
        )
    })
    .collect()
}

fn keeps_crates_at_home(source: &Source, homes: &[(String, Vec<String>)]) -> Vec<String> {
    let module = source
        .path
        .trim_start_matches("src/")
        .split(['/', '.'])
        .next()
        .unwrap_or_default();
    if is_test(source) || !source.path.starts_with("src/") {
        return Vec::new();
    }
    let code = without_tests(&code(&source.text));
    let strange = homes.iter().filter(|(name, home)| {
        let path = format!("{}::", name.replace('-', "_"));
        let used = code
            .match_indices(&path)
            .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c)));
        used && !home.iter().any(|home| home == module || home == "all")
    });
    strange
        .flat_map(|(name, home)| complain(true, source, &format!("uses {name}, which is at home in {home:?}")))
        .collect()
}

fn names_modules(document: &str, library: &str) -> Vec<String> {
    modules_of(library)
        .into_iter()
        .filter(|module| !document.contains(&format!("`{module}`")))
        .map(|module| format!("src/lib.rs: the document does not name the module `{module}`"))
        .collect()
}

fn names_crates(document: &str, manifest: &str) -> Vec<String> {
    dependencies_of(manifest)
        .into_iter()
        .chain(ASKED_FOR.map(str::to_owned))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|name| !document.contains(&format!("**{name}**")))
        .map(|name| format!("src/lib.rs: the document does not say what **{name}** is for, or why it is absent"))
        .collect()
}

fn complain(wrong: bool, source: &Source, message: &str) -> Vec<String> {
    if wrong {
        vec![format!("{}: {message}", source.path)]
    } else {
        Vec::new()
    }
}

// Reading the sources.

/// The modules' order as the document has it, the highest first: the line that reads `cli > … > sys`.
fn floors(document: &str) -> Vec<String> {
    let chain = document.lines().find(|line| line.matches(" > ").count() > 5);
    chain
        .map(|chain| chain.split(" > ").map(|floor| floor.trim().to_owned()).collect())
        .unwrap_or_default()
}

/// Whether the whole file is a test.
fn is_test(source: &Source) -> bool {
    source.path.starts_with("tests/") || source.path.ends_with("/tests.rs")
}

/// Each crate with the modules that may use it: the rows `| **CRATE** | `MODULE` | … |` of the document.
fn homes(document: &str) -> Vec<(String, Vec<String>)> {
    let mut homes = Vec::new();
    for line in document.lines() {
        let cells: Vec<&str> = line.trim().split('|').map(str::trim).collect();
        let [_, names, modules, _, _] = cells[..] else { continue };
        let modules: Vec<String> = modules
            .split(", ")
            .map(|module| module.trim_matches('`').to_owned())
            .collect();
        let names = names
            .split(", ")
            .filter_map(|name| name.strip_prefix("**")?.strip_suffix("**"));
        homes.extend(names.map(|name| (name.to_owned(), modules.clone())));
    }
    homes
}

/// The top-level module that a file belongs to; programs and tests stand above all floors.
fn floor_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main", "bin"].contains(&first)).then_some(first)
}

/// The top-level modules named by `crate::NAME` and `crate::{NAME, …}`.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        if let Some(group) = after.strip_prefix('{') {
            let mut depth = 0;
            for item in group.split_inclusive([',', '{', '}']) {
                if depth == 0 {
                    used.extend(words(item).next().map(str::to_owned));
                }
                depth += i32::from(item.ends_with('{')) - i32::from(item.ends_with('}'));
                if depth < 0 {
                    break;
                }
            }
        } else {
            used.extend(words(after).next().map(str::to_owned));
        }
    }
    used
}

fn uses(code: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find("use ") {
        let before = rest[..start].rsplit('\n').next().unwrap_or_default().trim();
        let end = rest[start..].find(';').map_or(rest.len(), |end| start + end);
        if before.is_empty() || before.starts_with("pub") {
            let statement = format!("{before} {}", &rest[start..end]);
            statements.push(statement.split_whitespace().collect::<Vec<_>>().join(" "));
            rest = &rest[end..];
        } else {
            rest = &rest[start + 4..];
        }
    }
    statements
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

fn modules_of(library: &str) -> Vec<String> {
    let modules = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

fn dependencies_of(manifest: &str) -> Vec<String> {
    let section = manifest.split("[dependencies]\n").nth(1).unwrap();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned()))
        .collect()
}

/// The text with comments and the contents of strings blanked out, line by line the same.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = string_length(rest, &out) {
            length
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        out.push(' ');
        rest = &rest[skipped..];
    }
    out
}

/// How long the string or character literal is that starts here, if one does.
fn string_length(rest: &str, before: &str) -> Option<usize> {
    let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_word || before.ends_with('b')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 1 + hashes + 1;
            return Some(
                rest[start..]
                    .find(&end)
                    .map_or(rest.len(), |found| start + found + end.len()),
            );
        }
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    // A lifetime has no closing quote behind its first character.
    let character = rest.strip_prefix('\'')?;
    let mut chars = character.chars();
    let is_literal = chars.next()? == '\\' || chars.next()? == '\'';
    is_literal.then(|| quoted_length(rest, '\''))
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The code without its `#[cfg(test)] mod … { … }` blocks.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..start]);
        let item = &rest[start..];
        let mut depth = 0;
        let end = item.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0 && matches!(c, '}' | ';')
        });
        rest = end.map_or("", |(end, _)| &item[end + 1..]);
    }
    out.push_str(rest);
    out
}

// The sources keep to the rules.

#[test]
fn every_file_keeps_to_the_style() {
    let sources = sources();
    let rules = [
        opens_with_a_document,
        is_short_enough,
        keeps_unsafe_in_sys,
        has_an_honest_name,
        imports_plainly,
        only_decides,
        never_panics,
    ];
    let complaints: Vec<String> = sources
        .iter()
        .flat_map(|source| rules.iter().flat_map(|rule| rule(source)))
        .collect();
    assert_none(&complaints);
}

#[test]
fn every_module_stays_on_its_floor() {
    let floors = floors(&document());
    assert!(floors.len() > 8, "src/lib.rs has no line with the floors");
    let complaints: Vec<String> = sources()
        .iter()
        .flat_map(|source| stays_on_its_floor(source, &floors))
        .collect();
    assert_none(&complaints);
}

#[test]
fn every_crate_stays_at_home() {
    let homes = homes(&document());
    assert!(homes.len() > 15, "src/lib.rs has no table of crates: {homes:?}");
    let complaints: Vec<String> = sources()
        .iter()
        .flat_map(|source| keeps_crates_at_home(source, &homes))
        .collect();
    assert_none(&complaints);
}

#[test]
fn the_document_names_modules_and_crates() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut complaints = names_modules(&document(), &library);
    complaints.extend(names_crates(&document(), &manifest));
    assert_none(&complaints);
}

// The rules refuse what they are there to refuse.

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn refuses_a_file_without_a_document() {
    assert_eq!(opens_with_a_document(&source("src/a.rs", "use std::fs;\n")).len(), 1);
    assert_eq!(opens_with_a_document(&source("src/a.rs", "//! Things.\n")).len(), 1);
    assert_eq!(
        opens_with_a_document(&source("src/a.rs", "//! Says what this is good for.\n")),
        [""; 0]
    );
}

#[test]
fn refuses_a_long_file_but_not_its_tests() {
    let long = "fn a() {}\n".repeat(LONGEST + 1);
    assert_eq!(is_short_enough(&source("src/a.rs", &long)).len(), 1);
    assert_eq!(is_short_enough(&source("tests/a.rs", &long)), [""; 0]);
    let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(is_short_enough(&source("src/a.rs", &tests)), [""; 0]);
}

#[test]
fn refuses_unsafe_code_outside_sys() {
    let text = "fn a() { unsafe { b() } }";
    assert_eq!(keeps_unsafe_in_sys(&source("src/run/a.rs", text)).len(), 1);
    assert_eq!(keeps_unsafe_in_sys(&source("src/system.rs", text)).len(), 1);
    assert_eq!(keeps_unsafe_in_sys(&source("src/sys/a.rs", text)), [""; 0]);
    assert_eq!(
        keeps_unsafe_in_sys(&source(
            "src/a.rs",
            "// unsafe\n#![allow(unsafe_code)] const A: &str = \"unsafe\";"
        )),
        [""; 0]
    );
}

#[test]
fn refuses_names_that_say_nothing() {
    assert_eq!(has_an_honest_name(&source("src/run/mod.rs", "")).len(), 1);
    assert_eq!(has_an_honest_name(&source("src/run/utils.rs", "")).len(), 1);
    assert_eq!(has_an_honest_name(&source("src/common/a.rs", "")).len(), 1);
    assert_eq!(has_an_honest_name(&source("src/run/mount.rs", "")), [""; 0]);
}

#[test]
fn refuses_globs_and_re_exports() {
    assert_eq!(imports_plainly(&source("src/a.rs", "use std::io::*;")).len(), 1);
    assert_eq!(
        imports_plainly(&source("src/a.rs", "use std::io::{\n    prelude::*,\n};")).len(),
        1
    );
    assert_eq!(
        imports_plainly(&source("src/a.rs", "pub use crate::run::start;")).len(),
        1
    );
    assert_eq!(
        imports_plainly(&source("src/a.rs", "pub(crate) use crate::run::start;")).len(),
        1
    );
    assert_eq!(imports_plainly(&source("src/a.rs", "use super::start;")).len(), 1);
    let good = "use crate::run::start;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
    assert_eq!(imports_plainly(&source("src/a.rs", good)), [""; 0]);
}

#[test]
fn refuses_what_may_panic() {
    assert_eq!(never_panics(&source("src/a.rs", "fn a() { b().unwrap(); }")).len(), 1);
    assert_eq!(
        never_panics(&source(
            "generator/main.rs",
            "fn a() { b().expect(\"c\"); unreachable!() }"
        ))
        .len(),
        2
    );
    assert_eq!(
        never_panics(&source(
            "src/a.rs",
            "fn a() { b().unwrap_or(0); c.expected(); } // panic!"
        )),
        [""; 0]
    );
    assert_eq!(never_panics(&source("tests/a.rs", "fn a() { b().unwrap(); }")), [""; 0]);
    assert_eq!(
        never_panics(&source(
            "src/a.rs",
            "#[cfg(test)]\nmod tests {\n    fn a() { panic!() }\n}\n"
        )),
        [""; 0]
    );
}

#[test]
fn refuses_acting_where_there_is_only_deciding() {
    let acting = "fn a() { std::fs::read(\"b\"); }";
    assert_eq!(only_decides(&source("src/plan/mount.rs", acting)).len(), 2);
    assert_eq!(
        only_decides(&source("src/plan.rs", "use std::env;\nfn a() { env::var(\"B\") }")).len(),
        1
    );
    assert_eq!(only_decides(&source("src/generate/service.rs", acting)).len(), 2);
    assert_eq!(only_decides(&source("src/generate/write.rs", acting)), [""; 0]);
    assert_eq!(only_decides(&source("src/definition/places/scan.rs", acting)), [""; 0]);
    assert_eq!(only_decides(&source("src/store.rs", acting)), [""; 0]);
    assert_eq!(only_decides(&source("src/planning.rs", acting)), [""; 0]);
    let test = format!("#[cfg(test)]\nmod tests {{\n{acting}\n}}\n");
    assert_eq!(only_decides(&source("src/plan/mount.rs", &test)), [""; 0]);
}

#[test]
fn refuses_a_crate_away_from_home() {
    let homes =
        homes(" | **oci-spec**, **zbus** | `cli`, `plan` | words |\n | **nix** | all | words |\n | `a` | b | c |\n");
    assert_eq!(homes.len(), 3);
    assert_eq!(
        keeps_crates_at_home(&source("src/run/a.rs", "use zbus::Connection;"), &homes).len(),
        1
    );
    assert_eq!(
        keeps_crates_at_home(&source("src/run.rs", "fn a(b: oci_spec::C) {}"), &homes).len(),
        1
    );
    assert_eq!(
        keeps_crates_at_home(
            &source("src/run.rs", "use nix::a;\nuse crate::zbus::b;\nfn zbus() {}"),
            &homes
        ),
        [""; 0]
    );
    assert_eq!(
        keeps_crates_at_home(&source("src/plan/oci.rs", "use oci_spec::a;"), &homes),
        [""; 0]
    );
    assert_eq!(
        keeps_crates_at_home(&source("src/cli.rs", "use zbus::a;"), &homes),
        [""; 0]
    );
}

#[test]
fn refuses_a_use_of_a_higher_floor() {
    let floors = floors(" a > b\n\n cli > run > store > plan > image > unitfile > sys\n");
    assert_eq!(floors.len(), 7);
    let above = "use crate::run::start;";
    assert_eq!(stays_on_its_floor(&source("src/plan.rs", above), &floors).len(), 1);
    assert_eq!(
        stays_on_its_floor(&source("src/plan/a.rs", "fn a() { crate::run::start() }"), &floors).len(),
        1
    );
    assert_eq!(
        stays_on_its_floor(&source("src/plan.rs", "use crate::{image::x, run::{y, z}};"), &floors).len(),
        1
    );
    assert_eq!(stays_on_its_floor(&source("src/cli/list.rs", above), &floors), [""; 0]);
    assert_eq!(stays_on_its_floor(&source("src/run.rs", above), &floors), [""; 0]);
    assert_eq!(
        stays_on_its_floor(
            &source("src/plan.rs", "//! See [`crate::run`].\nuse crate::sys;"),
            &floors
        ),
        [""; 0]
    );
    assert_eq!(
        stays_on_its_floor(&source("src/bin/shim.rs", "use coracle::cli;"), &floors),
        [""; 0]
    );
    assert_eq!(stays_on_its_floor(&source("src/cellar.rs", ""), &floors).len(), 1);
    assert_eq!(
        stays_on_its_floor(&source("src/cli.rs", "use crate::cellar;"), &floors).len(),
        1
    );
}

#[test]
fn refuses_a_document_that_forgets() {
    let library = "//! `run` is described.\npub mod plan;\npub mod run;\n";
    assert_eq!(names_modules(&document_of(library), library).len(), 1);
    let all: String = ASKED_FOR.map(|name| format!("**{name}** ")).concat();
    assert_eq!(names_crates(&all, "[dependencies]\nserde = '1'\n"), [""; 0]);
    assert_eq!(names_crates(&all, "[dependencies]\nserde_json = '1'\n").len(), 1);
    assert_eq!(names_crates("", "[dependencies]\n").len(), ASKED_FOR.len());
}

#[test]
fn tells_code_from_comments_and_strings() {
    let text = "a // b\n/* c\n d */ e \"f \\\" g\" h r#\"i \" j\"# k 'l' m '\\'' n<'o> p";
    let seen = code(text);
    assert_eq!(
        words(&seen).collect::<Vec<_>>(),
        ["a", "e", "h", "k", "m", "n", "o", "p"]
    );
    assert_eq!(seen.lines().count(), text.lines().count());
}
