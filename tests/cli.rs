//! Runs the real `coracle` on trees of definitions, and reads what it prints as a user or a script would.

#![allow(clippy::unwrap_used, reason = "a test may stop where its set-up fails")]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use oci_spec::runtime::Spec;
use serde_json::Value;
use tempfile::TempDir;

const WEB: &str = r#"
[Container]
Image = "docker.io/library/nginx:1.27"
PublishPort = "8080:80"

[Service]
MemoryMax = "256M"
"#;

/// Five mistakes, each on a line of its own.
const FIVE_MISTAKES: &str = r#"[Container]
Imgae = "docker.io/library/nginx:1.27"
Rootfs = "not/absolute"
PublishPort = "99999:80"
ReadOnly = "maybe"

[Servcie]
MemoryMax = "1G"
"#;

/// A mistake that leaves the port alone.
const UNTOUCHED: &str = "[Container]\nImage = \"x\"\nPublishPort = \"8080:80\"\nReadOnly = 1\n";

struct Tree(TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = TempDir::new().unwrap();
        for (name, text) in files {
            let path = tree.path().join("etc/coracle").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(tree)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join("etc/coracle").join(name).to_str().unwrap().to_owned()
    }

    /// Runs a verb on this tree.
    fn run(&self, arguments: &[&str]) -> Run {
        let mut all = arguments.to_vec();
        all.extend(["--root", self.path().to_str().unwrap()]);
        run(&all)
    }
}

#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    // No bus, neither a real one nor one of the machine that tests.
    command
        .args(arguments)
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    command
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Run {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    let run = Run {
        code: status.code().expect("not killed by a signal"),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    };
    assert!(!run.err.contains("panicked"), "{run:?}");
    run
}

/// Runs, and expects success and silence on standard error.
fn printed(arguments: &[&str]) -> String {
    let run = run(arguments);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{arguments:?}");
    run.out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

// check

#[test]
fn check_finds_all_five_mistakes_with_line_and_column() {
    let tree = Tree::new(&[("bad.toml", FIVE_MISTAKES), ("web.toml", WEB)]);
    let run = tree.run(&["check"]);
    assert_eq!(run.code, 1, "{run:?}");
    for place in [
        "bad.toml:2:1: ",
        "bad.toml:3:10: ",
        "bad.toml:4:15: ",
        "bad.toml:5:12: ",
        "bad.toml:7:2: ",
    ] {
        assert!(
            run.out.contains(&format!("/etc/coracle/{place}")),
            "{place} is missing in\n{}",
            run.out
        );
    }
    assert!(
        run.out.contains("did you mean 'Image'?") && run.out.contains("did you mean [Service]?"),
        "{}",
        run.out
    );
    assert!(
        run.out
            .contains("\n 2 | Imgae = \"docker.io/library/nginx:1.27\"\n   | ^^^^^\n"),
        "{}",
        run.out
    );
    assert!(!run.out.contains("web.toml"), "{}", run.out);
    assert!(
        run.out
            .ends_with("2 definitions checked: 3 errors, 2 warnings in 1 file\n"),
        "{}",
        run.out
    );
    assert!(!run.out.contains('\x1b'), "colours in a pipe: {}", run.out);

    let document = json(&tree.run(&["check", "--format", "json"]).out);
    assert_eq!(
        (&document["errors"], &document["warnings"], &document["definitions"]),
        (&3.into(), &2.into(), &2.into())
    );
    let lines: Vec<_> = document["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 3, 4, 5, 7]);
    assert_eq!(document["diagnostics"][0]["suggestion"], "did you mean 'Image'?");
    assert_eq!(document["diagnostics"][1]["severity"], "error");
}

#[test]
fn check_is_content_with_good_definitions_and_with_warnings() {
    let tree = Tree::new(&[("web.toml", WEB)]);
    let run = tree.run(&["check"]);
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (0, "1 definition checked: no mistakes\n", "")
    );
    let warned = Tree::new(&[("web.toml", &WEB.replace("[Service]", "HttpProxy = true\n[Service]"))]);
    let run = warned.run(&["check"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert!(
        run.out
            .ends_with("1 definition checked: 0 errors, 1 warning in 1 file\n"),
        "{}",
        run.out
    );
    let empty = Tree::new(&[]).run(&["check"]);
    assert_eq!(empty.code, 0);
    assert!(empty.out.starts_with("no definitions in "), "{empty:?}");
}

#[test]
fn check_says_whether_ports_stay() {
    let closed = UNTOUCHED.replace("8080:80", "8081:81") + "[Socket]\nBacklog = {}\n";
    let job = "[Container]\nImage = \"x\"\nReadOnly = 1\n";
    let tree = Tree::new(&[("closed.toml", &closed), ("job.toml", job), ("open.toml", UNTOUCHED)]);
    let run = tree.run(&["check"]);
    assert_eq!(run.code, 1, "{run:?}");
    let told = "'closed.service' cannot start before that is mended, and 'closed.socket' is closed as soon as nothing runs\n\
                'job.service' cannot start before that is mended\n\
                'open.service' cannot start before that is mended; 'open.socket' stays open meanwhile\n";
    assert!(run.out.contains(told), "{}", run.out);
    let document = json(&tree.run(&["check", "--format", "json"]).out);
    let broken =
        |unit: &str, open: &[&str], closed: &[&str]| serde_json::json!({"unit": unit, "open": open, "closed": closed});
    let expected = [
        broken("closed.service", &[], &["closed.socket"]),
        broken("job.service", &[], &[]),
        broken("open.service", &["open.socket"], &[]),
    ];
    assert_eq!(document["broken"], Value::from(expected.to_vec()));
}

#[test]
fn check_takes_files_from_anywhere() {
    let tree = Tree::new(&[("good.toml", WEB), ("bad.toml", FIVE_MISTAKES)]);
    assert_eq!(run(&["check", &tree.file("good.toml")]).code, 0);
    let both = run(&["check", &tree.file("good.toml"), &tree.file("bad.toml")]);
    assert_eq!(both.code, 1);
    assert!(
        both.out.contains(&format!("{}:3:10: error: ", tree.file("bad.toml"))),
        "{}",
        both.out
    );
    let missing = run(&["check", "/nonexistent/web.toml"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.out.contains("/nonexistent/web.toml: error: "),
        "{}",
        missing.out
    );
}

#[test]
fn check_shows_collisions() {
    let other = WEB.replace("[Container]", "[Container]\nServiceName = \"web\"");
    let tree = Tree::new(&[("web.toml", WEB), ("other.toml", &other)]);
    let run = tree.run(&["check"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.out.contains("/etc/coracle/web.toml: error: ") && run.out.contains("/etc/coracle/other.toml:3:15: error: "),
        "{}",
        run.out
    );
}

#[test]
fn check_survives_what_is_no_definition() {
    let deep = format!("[Container]\nExec = {}{}\n", "[".repeat(20_000), "]".repeat(20_000));
    let long = format!("[Container]\nImage = \"{}\"\n", "x".repeat(10_000_000));
    let tree = Tree::new(&[
        ("deep.toml", &deep),
        ("long.toml", &long),
        ("web.container", WEB),
        ("control.toml", "[Container]\n\x1b[31m = 1\n"),
    ]);
    fs::write(tree.file("binary.toml"), [0, 159, 146, 150]).unwrap();
    fs::write(tree.file("empty.toml"), "").unwrap();
    let run = tree.run(&["check"]);
    assert_eq!(run.code, 1);
    for name in ["deep", "long", "binary", "control"] {
        assert!(
            run.out.contains(&format!("/etc/coracle/{name}.toml")),
            "{name} is missing in\n{}",
            run.out
        );
    }
    assert!(run.out.contains("/etc/coracle/web.container"), "{}", run.out);
    assert!(!run.out.contains('\x1b'), "a file's control character got through");
    assert!(run.out.len() < 20_000, "{} bytes of complaints", run.out.len());
}

#[test]
fn the_readme_shows_what_is_true() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let definitions: Vec<&str> = readme
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(!definitions.is_empty());
    let network = definitions.iter().find(|text| text.contains("[Network]")).unwrap();
    for definition in definitions.iter().filter(|text| !text.contains("[Network]")) {
        let file = if definition.contains("[Volume]") {
            "web.volume.toml"
        } else {
            "web.toml"
        };
        let tree = Tree::new(&[(file, definition), ("shop.network.toml", network)]);
        let checked = tree.run(&["check"]);
        assert_eq!(checked.out, "1 definition checked: no mistakes\n", "{definition}");
    }
    let mistaken = definitions[0].replace("PublishPort", "PublishPrt");
    let checked = Tree::new(&[("web.toml", &mistaken)]).run(&["check"]);
    assert!(
        readme.contains(&format!("# coracle check\n{}```", checked.out)),
        "{}",
        checked.out
    );
}

#[test]
fn odd_names_stay_on_their_line() {
    let tree = Tree::new(&[
        ("web.toml", WEB),
        ("a\nb.toml", WEB),
        ("\x1b[31mred.toml", WEB),
        ("sp ace.toml", WEB),
        ("%i.toml", WEB),
    ]);
    for arguments in [&["check"][..], &["list"], &["check", "--color", "always"]] {
        let run = tree.run(arguments);
        let text = run.out + &run.err;
        assert!(!text.contains("\x1b[31mred"), "{text}");
        assert!(
            !text
                .lines()
                .any(|line| line.starts_with("b.toml") || line.starts_with("b\t")),
            "{text}"
        );
    }
    let listed = tree.run(&["list"]).out;
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(listed.lines().all(|line| line.split('\t').count() == 9), "{listed}");
}

// list

#[test]
fn list_is_for_scripts_when_piped() {
    let template =
        "[Container]\nRootfs = \"/srv/%i\"\nExec = [\"/bin/x\"]\n[Socket]\nListenStream = \"/run/%i.sock\"\n";
    let tree = Tree::new(&[("web.toml", WEB), ("at@.toml", template)]);
    let run = tree.run(&["list"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(
        run.out,
        "at@\t-\t-\t-\t-\t/run/%i.sock\t/srv/%i\t-\t-\nweb\t-\t-\t-\t-\t8080\tdocker.io/library/nginx:1.27\t-\t-\n"
    );

    let document = json(&tree.run(&["list", "--format", "json"]).out);
    let web = &document[1];
    assert_eq!(web["name"], "web");
    assert_eq!(web["service"]["unit"], "web.service");
    assert_eq!(web["service"]["active-state"], Value::Null);
    assert_eq!(web["sockets"][0]["unit"], "web.socket");
    assert_eq!(web["sockets"][0]["listen"][0], "8080");
    assert_eq!(web["errors"], 0);
    assert_eq!(document[0]["rootfs"], "/srv/%i");
}

#[test]
fn list_says_where_there_is_nothing() {
    let run = Tree::new(&[]).run(&["list"]);
    assert_eq!((run.code, run.out.as_str()), (0, ""));
    assert!(
        run.err.starts_with("coracle: no definitions in ") && run.err.contains("/etc/coracle'"),
        "{}",
        run.err
    );
    let run = Tree::new(&[]).run(&["list", "--format", "json"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "[]\n", ""));
}

#[test]
fn list_names_broken_definitions() {
    let tree = Tree::new(&[("bad.toml", FIVE_MISTAKES), ("web.toml", WEB)]);
    let run = tree.run(&["list"]);
    assert_eq!(run.code, 0);
    assert_eq!(run.out.lines().count(), 2, "{}", run.out);
    assert!(run.err.contains("1 definition with mistakes"), "{}", run.err);
    let run = Tree::new(&[("open.toml", UNTOUCHED)]).run(&["list"]);
    assert!(
        run.err
            .contains("1 definition with mistakes that prevent a start, whose sockets"),
        "{}",
        run.err
    );
}

#[test]
fn list_works_without_a_bus_and_says_so_once() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("coracle")).unwrap();
    fs::write(home.path().join("coracle/mine.toml"), WEB).unwrap();
    let output = command(&["list", "--user"])
        .env("XDG_CONFIG_HOME", home.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("mine\t-\t-\t-\t-\t8080\t")
    );
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaints.lines().count(), 1, "{complaints}");
    assert!(
        complaints.starts_with("coracle: connecting to the user's bus: "),
        "{complaints}"
    );
}

// show

#[test]
fn show_prints_the_definition() {
    let tree = Tree::new(&[
        ("web.toml", WEB),
        ("web.toml.d/more.toml", "[Container]\nUser = \"www-data\"\n"),
    ]);
    for name in ["web", "web.toml", "web.service", "web.socket"] {
        let run = tree.run(&["show", name]);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{name}");
        for text in [
            "docker.io/library/nginx:1.27",
            "www-data",
            "/etc/coracle/web.toml.d/more.toml",
            "web.socket: stream 8080",
        ] {
            assert!(run.out.contains(text), "{text} is missing in\n{}", run.out);
        }
    }
    let document = json(&tree.run(&["show", "web", "--format", "json"]).out);
    assert_eq!(document["container"]["container"]["user"], "www-data");
}

#[test]
fn show_knows_what_it_does_not_find() {
    let tree = Tree::new(&[("web.toml", WEB), ("bad.toml", FIVE_MISTAKES)]);
    let near = tree.run(&["show", "wbe"]);
    assert_eq!((near.code, near.out.as_str()), (1, ""));
    assert_eq!(near.err, "coracle: there is no definition 'wbe', did you mean 'web'?\n");
    let broken = tree.run(&["show", "bad"]);
    assert_eq!(broken.code, 1);
    assert!(
        broken.err.contains("'/etc/coracle/bad.toml' has mistakes"),
        "{}",
        broken.err
    );
    assert_eq!(broken.err.lines().count(), 1);
    let open = Tree::new(&[("open.toml", UNTOUCHED)]).run(&["show", "open"]);
    assert!(
        open.err.contains("'open.socket' stays open") && open.out.is_empty(),
        "{open:?}"
    );
}

#[test]
fn show_units_is_what_the_generator_writes() {
    let tree = Tree::new(&[("web.toml", WEB), ("bad.toml", FIVE_MISTAKES), ("open.toml", UNTOUCHED)]);
    let normal = tree.path().join("run/systemd/generator");
    fs::create_dir_all(&normal).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_coracle-generator"))
        .args([Path::new("--root"), tree.path(), &normal])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    for (name, count) in [("web", 2), ("bad", 1), ("open", 2)] {
        let units = tree.run(&["show", name, "--units", "--format", "json"]);
        assert_eq!((units.code, units.err.as_str()), (0, ""));
        let document = json(&units.out);
        let units = document.as_object().unwrap();
        assert_eq!(units.len(), count);
        for (unit, text) in units {
            assert_eq!(
                text.as_str().unwrap(),
                fs::read_to_string(normal.join(unit)).unwrap(),
                "{unit}"
            );
        }
    }
    let text = tree.run(&["show", "web", "--units"]).out;
    assert!(
        text.starts_with("# /run/systemd/generator/web.service\n")
            && text.contains("\n\n# /run/systemd/generator/web.socket\n"),
        "{text}"
    );
}

#[test]
fn show_plan_is_an_oci_configuration() {
    let definition = "[Container]\nRootfs = \"/srv/web\"\nExec = [\"/bin/server\", \"--port\", \"80\"]\nPublishPort = \"8080:80\"\n\
        Environment = { MODE = \"fast\" }\nUser = \"www-data\"\nDropCapability = [\"all\"]\nAddCapability = [\"CAP_NET_RAW\"]\n\
        Volume = [\"/srv/data:/data:ro\"]\nReadOnly = true\n";
    let tree = Tree::new(&[
        ("web.toml", definition),
        ("at@.toml", &definition.replace("/srv/web", "/srv/%i")),
    ]);
    let run = tree.run(&["show", "web", "--plan"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(
        run.out,
        tree.run(&["show", "web", "--plan"]).out,
        "the same plan, other bytes"
    );
    let spec: Spec = serde_json::from_str(&run.out).unwrap();
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.args().as_ref().unwrap(), &["/bin/server", "--port", "80"]);
    assert!(process.env().as_ref().unwrap().contains(&"MODE=fast".to_owned()));
    assert_eq!(process.no_new_privileges(), Some(true));
    assert_eq!(process.user().username().as_deref(), Some("www-data"));
    let document = json(&run.out);
    assert_eq!(
        document["process"]["capabilities"]["bounding"],
        serde_json::json!(["CAP_NET_RAW"])
    );
    assert_eq!(document["root"]["readonly"], true);
    let types: Vec<_> = document["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["mount", "pid", "uts", "ipc", "cgroup", "network", "user"]);
    let data = document["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|mount| mount["destination"] == "/data")
        .unwrap();
    assert_eq!((&data["type"], &data["source"]), (&"bind".into(), &"/srv/data".into()));
    assert!(data["options"].as_array().unwrap().contains(&"ro".into()));
    let sockets = json(document["annotations"]["coracle.sockets"].as_str().unwrap());
    assert_eq!(
        (&sockets[0]["address"], &sockets[0]["container"]["port"]),
        (&"8080".into(), &80.into())
    );

    let instance = json(&tree.run(&["show", "at@one", "--plan"]).out);
    assert_eq!(instance["annotations"]["coracle.unit"], "at@one.service");

    let template = "[Container]\nRootfs = \"/srv\"\nExec = [\"/x\"]\n[Socket]\nListenStream = \"/run/%i.sock\"\nContainerListen = \"/tmp/%i.sock\"\n";
    let tree = Tree::new(&[("at@.toml", template)]);
    let instance = json(&tree.run(&["show", "at@one", "--plan"]).out);
    let sockets = json(instance["annotations"]["coracle.sockets"].as_str().unwrap());
    assert_eq!(sockets[0]["container"]["unix"], "/tmp/one.sock");
}

#[test]
fn show_plan_knows_what_the_image_says() {
    let tree = Tree::new(&[("web.toml", WEB)]);
    let rootfs = tree.path().join("rootfs");
    fs::create_dir_all(rootfs.join("bin")).unwrap();
    fs::write(rootfs.join("bin/server"), "").unwrap();
    let name = "docker.io/library/nginx:1.27";
    let changes = [
        "-c",
        "CMD [\"/bin/server\", \"-v\"]",
        "-c",
        "ENV MODE=slow",
        "-c",
        "STOPSIGNAL SIGQUIT",
    ];
    let imported = tree.run(
        &[
            &["image", "import", rootfs.to_str().unwrap(), "--name", name],
            &changes[..],
        ]
        .concat(),
    );
    assert_eq!((imported.code, imported.err.as_str()), (0, ""));
    let listed = tree.run(&["image", "list"]).out;
    assert!(
        listed.starts_with(&format!("{name}\t")) && listed.lines().count() == 1,
        "{listed}"
    );

    let document = json(&tree.run(&["show", "web", "--plan"]).out);
    assert_eq!(document["process"]["args"], serde_json::json!(["/bin/server", "-v"]));
    assert!(
        document["process"]["env"]
            .as_array()
            .unwrap()
            .contains(&"MODE=slow".into())
    );
    assert_eq!(document["annotations"]["org.opencontainers.image.stopSignal"], "3");
    let layers = json(document["annotations"]["coracle.layers"].as_str().unwrap());
    assert!(
        Path::new(layers[0].as_str().unwrap()).join("bin/server").exists(),
        "{layers}"
    );

    let used = tree.run(&["image", "rm", name]);
    assert_eq!((used.code, used.err.lines().count()), (1, 1), "{used:?}");
    assert!(used.err.contains("/etc/coracle/web.toml"), "{}", used.err);
    assert_eq!(tree.run(&["image", "rm", "--force", name]).code, 0);
    let gone = tree.run(&["image", "inspect", name]);
    assert_eq!(
        (gone.code, gone.out.as_str(), gone.err.lines().count()),
        (1, "", 1),
        "{gone:?}"
    );
}

#[test]
fn show_plan_says_what_is_missing() {
    let tree = Tree::new(&[
        ("web.toml", WEB),
        ("empty.toml", "[Container]\nRootfs = \"/srv/web\"\n"),
    ]);
    let image = tree.run(&["show", "web", "--plan"]);
    assert_eq!((image.code, image.out.as_str()), (1, ""));
    assert!(
        image.err.contains("docker.io/library/nginx:1.27") && image.err.contains("coracle image"),
        "{}",
        image.err
    );
    let program = tree.run(&["show", "empty", "--plan"]);
    assert!(program.err.contains("there is no program to run"), "{}", program.err);
    assert_eq!(program.err.lines().count(), 1);
}

// explain

#[test]
fn explain_knows_every_key() {
    let all = printed(&["explain"]);
    assert!(all.lines().count() > 94, "{}", all.lines().count());
    assert!(all.lines().all(|line| line.split('\t').count() == 5), "{all}");
    let document = json(&printed(&["explain", "--format", "json"]));
    assert_eq!(document.as_array().unwrap().len(), all.lines().count());

    let port = printed(&["explain", "publishport"]);
    assert!(
        port.starts_with("PublishPort in [Container]\n") && port.contains("repeatable") && port.contains("8080:80"),
        "{port}"
    );
    assert_eq!(port, printed(&["explain", "Container.PublishPort"]));
    assert_eq!(
        json(&printed(&["explain", "Notify", "--format", "json"]))[0]["support"],
        "carried-out"
    );
    assert_eq!(
        json(&printed(&["explain", "Pod", "--format", "json"]))[0]["effect"],
        "error"
    );
}

#[test]
fn explain_suggests_the_nearest_key() {
    let typo = run(&["explain", "PublishPrt"]);
    assert_eq!((typo.code, typo.out.as_str()), (1, ""));
    assert!(
        typo.err
            .starts_with("coracle: there is no key 'PublishPrt', did you mean 'PublishPort' in [Container]?"),
        "{}",
        typo.err
    );
    assert!(run(&["explain", "MemoryMax"]).err.contains("systemd.directives(7)"));
    assert!(
        run(&["explain", "Nowhere.Image"])
            .err
            .contains("the sections are Container, ")
    );
}

#[test]
fn explained_examples_are_good_definitions() {
    let document = json(&printed(&["explain", "--format", "json"]));
    for key in document
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["support"] == "carried-out")
    {
        let example = key["example"].as_str().unwrap();
        let (heading, line) = example.split_once('\n').unwrap();
        let root = if line.starts_with("Image") || line.starts_with("Rootfs") {
            ""
        } else {
            "Image = \"example\""
        };
        let text = match heading {
            "[Container]" if line.starts_with("Notify") || line.starts_with("Activation") => {
                format!("[Container]\n{root}\nPublishPort = \"8080:80\"\n{line}\n")
            }
            "[Container]" if line.starts_with("Idle") => {
                let other = if line.starts_with("IdleTimeout") {
                    ""
                } else {
                    "IdleTimeout = 60\n"
                };
                format!("[Container]\n{root}\nPublishPort = \"8080:80\"\n{other}{line}\n")
            }
            "[Container]" if line.starts_with("IP") || line.starts_with("NetworkAlias") => {
                format!("[Container]\n{root}\nNetwork = \"app.network\"\n{line}\n")
            }
            "[Container]" if line.starts_with("HealthCmd") => format!("[Container]\n{root}\n{line}\n"),
            "[Container]" if line.starts_with("Health") => {
                let startup = if line.starts_with("HealthStartup") && !line.starts_with("HealthStartupCmd") {
                    "HealthStartupCmd = \"true\"\n"
                } else {
                    ""
                };
                format!("[Container]\n{root}\nHealthCmd = \"true\"\n{startup}{line}\n")
            }
            "[Container]" => format!("[Container]\n{root}\n{line}\n"),
            "[Volume]" if line.starts_with("Options") => format!("{heading}\nDevice = \"/dev/vdb\"\n{line}\n"),
            "[Volume]" => format!("{heading}\n{line}\n"),
            "[Network]" => format!("[Container]\n{root}\nNetwork = \"app.network\"\n"),
            "[Socket]" if line.starts_with("ListenFIFO") => {
                format!("[Container]\n{root}\nActivation = \"inherit\"\n{heading}\n{line}\n")
            }
            "[Socket]" if line.starts_with("Listen") => format!("[Container]\n{root}\n{heading}\n{line}\n"),
            "[Socket]" => format!("[Container]\n{root}\n{heading}\nListenStream = \"8080\"\n{line}\n"),
            other => format!("[Container]\n{root}\n{other}\n{line}\n"),
        };
        let file = if heading == "[Volume]" {
            "example.volume.toml"
        } else {
            "example.toml"
        };
        let network = match heading {
            "[Network]" if line.starts_with("Subnet") => format!("{heading}\n{line}\n"),
            "[Network]" => format!("{heading}\nSubnet = \"10.208.1.0/24\"\n{line}\n"),
            _ => "[Network]\nSubnet = [\"10.208.1.0/24\", \"fd00::/64\"]\n".to_owned(),
        };
        // A systemd that knows all options.
        let systemd = ("../../usr/lib/systemd/libsystemd-shared-999.so", "");
        let tree = Tree::new(&[(file, &text), ("app.network.toml", &network), systemd]);
        let run = tree.run(&["check"]);
        assert_eq!(run.out, "1 definition checked: no mistakes\n", "{text}{network}");
    }
}

#[test]
fn networks_are_listed_with_the_default_one() {
    let tree = Tree::new(&[
        ("app.network.toml", "[Network]\nSubnet = \"10.1.2.0/24\"\n"),
        ("web.toml", "[Container]\nImage = \"x\"\nNetwork = \"app.network\"\n"),
    ]);
    let table = tree.run(&["network", "list"]).out;
    assert_eq!(
        table,
        "app.network\tcor-app\t10.1.2.0/24\t-\nbridge\tcor-bridge\t10.213.167.0/24\t-\n"
    );
    let document = json(&tree.run(&["network", "list", "--format", "json"]).out);
    assert_eq!(document[0]["source"], "/etc/coracle/app.network.toml");
    assert_eq!(document[1]["mistakes"], 0);
}

// The command line itself

#[test]
fn every_verb_helps_with_an_example() {
    let images = ["import", "list", "inspect", "rm"]
        .map(|verb| vec!["image", verb])
        .into_iter()
        .chain([vec!["image"], vec!["network"], vec!["network", "list"]]);
    let volumes = ["list", "inspect", "create", "rm", "prune"]
        .map(|verb| vec!["volume", verb])
        .into_iter()
        .chain([vec!["volume"]]);
    let verbs = ["check", "list", "show", "explain", "man", "completions"].map(|verb| vec![verb]);
    for verb in verbs.into_iter().chain(images).chain(volumes) {
        let help = printed(&[&verb[..], &["--help"]].concat());
        assert!(help.contains("Usage: ") && help.contains("Example"), "{verb:?}: {help}");
        assert!(!help.contains('\x1b'), "colours in a pipe: {help}");
        // What a comment says to those who read the source is not what a user asks for.
        assert!(
            !help.contains("What was typed") && !help.starts_with("Whose"),
            "{verb:?}: {help}"
        );
    }
    assert!(printed(&["--help"]).contains("Exit status: 0 done"));
    assert_eq!(
        printed(&["--version"]),
        concat!("coracle ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_wrong_command_line_is_exit_status_2() {
    for arguments in [
        &["chekc"][..],
        &["show"],
        &["list", "--format", "xml"],
        &["show", "x", "--units", "--plan"],
        &["completions", "tcsh"],
        &[],
    ] {
        let run = run(arguments);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{arguments:?}");
        assert!(
            run.err.contains("Usage: ") || run.err.contains("possible values"),
            "{arguments:?}: {}",
            run.err
        );
    }
}

#[test]
fn colour_is_asked_for_or_absent() {
    let tree = Tree::new(&[("bad.toml", FIVE_MISTAKES)]);
    assert!(!tree.run(&["check"]).out.contains('\x1b'));
    assert!(
        tree.run(&["check", "--color", "always"])
            .out
            .contains("\x1b[1;31merror\x1b[0m")
    );
    assert!(!tree.run(&["check", "--color", "never"]).out.contains('\x1b'));
}

#[test]
fn completions_come_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("explain") && script.contains("check"), "{shell}");
    }
}

#[test]
fn manual_pages_come_for_all_verbs_and_the_format() {
    let names = printed(&["man"]);
    let names: Vec<&str> = names.lines().collect();
    for name in [
        "coracle.1",
        "coracle-check.1",
        "coracle-list.1",
        "coracle-show.1",
        "coracle-explain.1",
        "coracle.toml.5",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    for name in names {
        let page = printed(&["man", name]);
        assert!(
            page.contains(".TH ") && page.contains(".SH NAME") && page.contains(".SH DESCRIPTION"),
            "{name}: {page}"
        );
    }
    let format = printed(&["man", "coracle.toml.5"]);
    let document = json(&printed(&["explain", "--format", "json"]));
    for key in document.as_array().unwrap() {
        let name = key["key"].as_str().unwrap();
        assert!(
            format.contains(&format!("\\fB{name}\\fR")),
            "'{name}' is not in coracle.toml(5)"
        );
    }
    assert_eq!(run(&["man", "coracle.9"]).code, 1);
}

#[test]
fn pages_and_completions_are_installed_where_they_are_looked_for() {
    let root = TempDir::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/pages");
    let arguments = [env!("CARGO_BIN_EXE_coracle"), root.path().to_str().unwrap(), "/usr"];
    let status = Command::new(script).args(arguments).status().unwrap();
    assert!(status.success());
    for file in [
        "man/man1/coracle.1",
        "man/man1/coracle-image-import.1",
        "man/man5/coracle.toml.5",
        "bash-completion/completions/coracle",
        "zsh/site-functions/_coracle",
        "fish/vendor_completions.d/coracle.fish",
    ] {
        let length = fs::metadata(root.path().join("usr/share").join(file)).map(|metadata| metadata.len());
        assert!(length.is_ok_and(|length| length > 200), "{file}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    // More than a pipe holds, so that it is noticed that nobody reads.
    for arguments in [
        &["explain", "--format", "json"][..],
        &["man", "coracle.toml.5"],
        &["completions", "zsh"],
    ] {
        let mut child = command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 1];
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut first).unwrap();
        drop(stdout);
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        assert_eq!(
            (status.code(), String::from_utf8(stderr).unwrap().as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn nobody_to_complain_to_is_no_panic() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = command(&["show", "nothing"]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&["explain"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .starts_with("coracle: writing to standard output: ")
    );
}

// run, stats, top, set

#[test]
fn run_points_at_the_option_that_is_wrong() {
    for (arguments, words) in [
        (&["-p", "99999:80"][..], &["'--publish=99999:80'", "65535"][..]),
        (&["-v", "a name:/x"], &["'--volume=a name:/x'", "the name of a volume"]),
        (&["-k", "Imgae=x"], &["'--key=Imgae=x'", "did you mean 'Image'?"]),
        (&["-k", "ReadOnly=maybe"], &["'--key=ReadOnly=maybe'", "true or false"]),
        (&["--property", "MemoryMaks=1"], &["did you mean 'MemoryMax'?"]),
        (&["--property", "MemoryMax=lots"], &["'MemoryMax=lots'", "256M"]),
        (&["--property", "User=x"], &["'User'"]),
        (&["--property", "SystemCallFilter=x"], &["SeccompProfile"]),
        (&["--cap-add", "net_everything"], &["--cap-add=net_everything"]),
        (&["--name", "a b"], &["'--name=a b'", "a space"]),
        (&["--name", "web@"], &["instance"]),
        (&["--entrypoint", "[1"], &["--entrypoint"]),
    ] {
        let run = run(&[&["run"], arguments, &["localhost/x", "-x"]].concat());
        assert_eq!((run.code, run.out.as_str()), (125, ""), "{run:?}");
        assert!(
            words.iter().all(|word| run.err.contains(word)),
            "{arguments:?}: {}",
            run.err
        );
        assert!(run.err.lines().all(|line| line.starts_with("coracle: ")), "{}", run.err);
    }
}

#[test]
fn run_takes_what_stands_behind_the_image_as_it_is() {
    // Without a root or without the image, but never because of the command's own options.
    for command in [&["-u"][..], &["--bogus", "--help"], &["--", "-d"]] {
        let run = run(&[&["run", "localhost/not-there"], command].concat());
        assert_eq!(run.code, 125, "{run:?}");
        assert!(run.err.contains("not-there") || run.err.contains("sudo"), "{}", run.err);
    }
    assert_eq!(run(&["run", "--bogus", "x"]).code, 2);
    assert_eq!(run(&["run"]).code, 2);
    assert_eq!(run(&["run", "-d", "-t", "x"]).code, 2);
}

#[test]
fn exec_takes_what_stands_behind_the_name_as_it_is() {
    for command in [&["-u"][..], &["--bogus", "--help"], &["--", "-d"]] {
        let run = run(&[&["exec", "no-such-container"], command].concat());
        assert_eq!(run.code, 125, "{run:?}");
        assert!(run.err.contains("no container 'no-such-container'"), "{}", run.err);
    }
}

#[test]
fn exec_points_at_the_option_that_is_wrong() {
    for (arguments, code, words) in [
        (&[][..], 2, "NAME CMD"),
        (&["web"], 2, "NAME CMD"),
        (&["-d", "-t", "web", "sh"], 2, "'--detach' cannot be used with '--tty'"),
        (&["-id", "web", "sh"], 2, "'--interactive'"),
        (&["--bogus", "web", "sh"], 2, "'--bogus'"),
        (&["--user"], 2, "'--user <USER[:GROUP]>'"),
        (&["-w"], 2, "'--workdir <DIR>'"),
        (&["--manager", "both", "web", "sh"], 2, "'both'"),
        (&["-e", "=x", "web", "sh"], 125, "'--env==x': a variable needs a name"),
        (&["-e", "", "web", "sh"], 125, "a variable needs a name"),
    ] {
        let run = run(&[&["exec"][..], arguments].concat());
        assert_eq!((run.code, run.out.as_str()), (code, ""), "{arguments:?}: {run:?}");
        assert!(run.err.contains(words), "{arguments:?}: {}", run.err);
    }
}

#[test]
fn cp_says_which_of_the_two_is_wrong() {
    for (arguments, words) in [
        (["a", "b"], "NAME:PATH"),
        (["./a:b", "/c:d"], "NAME:PATH"),
        (["-", "-"], "NAME:PATH"),
        (["a:/x", "b:/y"], "coracle cp - B:PATH"),
        (["no-such-container:/x", "y"], "no container 'no-such-container'"),
        (["-", "no-such-container:/x"], "no container 'no-such-container'"),
    ] {
        let run = run(&[&["cp"][..], &arguments].concat());
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
        assert!(run.err.contains(words), "{arguments:?}: {}", run.err);
    }
    assert_eq!(run(&["cp", "a"]).code, 2);
}

#[test]
fn what_concerns_running_containers_needs_systemd_and_a_name() {
    for arguments in [
        &["top", "no-such-container"][..],
        &["diff", "no-such-container"],
        &["stats", "no-such-container"],
        &["set", "no-such-container", "TasksMax=1"],
    ] {
        let run = run(arguments);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
        assert!(
            run.err
                .starts_with("coracle: there is no container 'no-such-container'"),
            "{}",
            run.err
        );
    }
    for wrong in [
        "TasksMax",
        "=1",
        "TasksMaks=1",
        "CPUQuota=half",
        "IPAddressDeny=nowhere",
    ] {
        let run = run(&["set", "web", wrong]);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.err.contains(wrong.split('=').next().unwrap()), "{}", run.err);
    }
    assert_eq!(run(&["set", "web"]).code, 2);
    assert_eq!(run(&["set", "web", "--persist", "--runtime", "TasksMax=1"]).code, 2);
    assert_eq!(run(&["stats", "--interval", "0"]).code, 2);
}
