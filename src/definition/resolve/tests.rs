//! What of systemd's sections is passed on, and that whatever is not is named where it stands.

use std::path::{Path, PathBuf};

use crate::definition::Definition;
use crate::definition::install::Install;
use crate::definition::toml::parse_merged;
use crate::unitfile::line::Line;

/// The definition `name` with a drop-in below `[Container]` and an image, and all that is said of it, as it is printed.
fn merged(name: &str, keys: &str, drop_in: &str) -> (Definition, Vec<String>) {
    let text = format!("[Container]\nImage = \"x\"\n{keys}");
    let drop_ins = [(PathBuf::from("/d/10.toml"), drop_in.to_owned())];
    let (definition, diagnostics) = parse_merged(name, Path::new("/web.toml"), &text, &drop_ins);
    (definition, diagnostics.iter().map(|d| d.render()).collect())
}

fn web(keys: &str) -> (Definition, Vec<String>) {
    merged("web", keys, "")
}

fn said(keys: &str) -> Vec<String> {
    web(keys).1
}

fn pairs(lines: &[Line]) -> Vec<(&str, &str)> {
    lines.iter().map(|line| (line.key(), line.value())).collect()
}

#[test]
fn a_refused_key_of_the_service() {
    let (definition, said) = web("[Service]\nNice = 5\nPrivateTmp = true\n  BindPaths = [\"/a\", \"/b\"]\n");
    assert_eq!(
        said,
        [
            "/web.toml:5:1: warning: 'PrivateTmp=' in [Service] is not needed: the container has its own, ignoring\n \
             5 | PrivateTmp = true\n   | ^^^^^^^^^^",
            "/web.toml:6:3: error: 'BindPaths=' in [Service] would act on coracle-shim and not on the container; \
             use 'Volume=' in [Container]\n 6 |   BindPaths = [\"/a\", \"/b\"]\n   |   ^^^^^^^^^",
        ]
    );
    assert_eq!(pairs(&definition.passthrough.service), [("Nice", "5")]);
}

#[test]
fn a_refused_key_in_a_drop_in() {
    let (definition, said) = merged(
        "web",
        "PublishPort = \"80:80\"\n[Service]\nRestart = \"always\"\n",
        "\n[Service]\nRestart = \"no\"\nPAMName = \"x\"\n",
    );
    assert_eq!(
        said,
        [
            "/d/10.toml:3:11: warning: 'Restart=' in [Service] would let systemd close the socket for good after a few failures, \
             ignoring\n 3 | Restart = \"no\"\n   |           ^^^^",
            "/d/10.toml:4:1: error: 'PAMName=' in [Service] would act on coracle-shim and not on the container\n \
             4 | PAMName = \"x\"\n   | ^^^^^^^",
        ]
    );
    assert_eq!(pairs(&definition.passthrough.service), [("Restart", "always")]);
}

#[test]
fn a_dependency_that_would_close_the_socket() {
    let keys = "[Unit]\nRequires = [\"a.service\", \"b.service\"]\nRequisite = \"c.service\"\nAfter = \"a.service\"\n";
    let (definition, said) = web(&format!("PublishPort = \"80:80\"\n{keys}"));
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(
        said[1],
        "/web.toml:5:26: warning: 'Requires=' in [Unit] would let systemd close the socket for good when 'b.service' fails, \
         taking it as 'Wants='\n 5 | Requires = [\"a.service\", \"b.service\"]\n   |                          ^^^^^^^^^^^"
    );
    assert!(
        said[2].starts_with("/web.toml:6:13: warning: 'Requisite=' in [Unit] "),
        "{said:?}"
    );
    assert_eq!(
        pairs(&definition.passthrough.unit),
        [("Wants", "a.service"), ("Wants", "b.service"), ("After", "a.service")]
    );
    // Without a socket there is none to close.
    let (definition, said) = web(keys);
    assert_eq!(said, [""; 0]);
    assert_eq!(pairs(&definition.passthrough.unit)[0], ("Requires", "a.service"));
}

#[test]
fn a_condition_on_no_path() {
    let unit = "[Unit]\nConditionPathExists = [\"/a\", \"|!b\", \"\", \"%h/c\"]\nAssertFileNotEmpty = \"d\"\nConditionHost = \"e\"\n";
    let (definition, said) = web(unit);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with(
            "/web.toml:4:30: warning: 'ConditionPathExists=' in [Unit] has no absolute path, and systemd does not ask it, ignoring"
        ),
        "{said:?}"
    );
    let kept = [
        ("ConditionPathExists", "/a"),
        ("ConditionPathExists", ""),
        ("ConditionPathExists", "%h/c"),
        ("ConditionHost", "e"),
    ];
    assert_eq!(pairs(&definition.passthrough.unit), kept);
}

#[test]
fn the_second_value_of_an_array() {
    let said =
        said("PublishPort = \"80:80\"\n[Unit]\nRequiresMountsFor = [\n  \"/srv/a /srv/b\",\n  \"'/srv/c\",\n]\n");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("/web.toml:7:3: warning: 'RequiresMountsFor=' in [Unit]: "),
        "{said:?}"
    );
    assert!(
        said[0].ends_with(", ignoring\n 7 |   \"'/srv/c\",\n   |   ^^^^^^^^^"),
        "{said:?}"
    );
}

#[test]
fn a_key_of_a_socket() {
    let (definition, said) = web("[Socket.a]\nListenStream = 81\nBack_log = [1, 2]\nBacklog = [3, \"4\\\\ \"]\n");
    assert_eq!(
        said,
        [
            "/web.toml:5:1: warning: 'Back_log=' in [Socket]: the key is none of systemd's: only letters, digits and '-' may be in it, \
             ignoring\n 5 | Back_log = [1, 2]\n   | ^^^^^^^^",
            "/web.toml:6:15: warning: 'Backlog=' in [Socket]: its value ends in a backslash, which would join it with the next line, \
             ignoring\n 6 | Backlog = [3, \"4\\\\ \"]\n   |               ^^^^^^",
        ]
    );
    assert_eq!(pairs(&definition.sockets[0].options), [("Backlog", "3")]);
}

#[test]
fn what_a_container_key_sets_keeps_its_place() {
    let (definition, said) = merged("web", "Memory = \"1G\"\n", "[Container]\nMemory = \"2x\"\n");
    assert!(
        said[0].starts_with("/d/10.toml:2:10: error: 'Memory': '2x' is no size"),
        "{said:?}"
    );
    assert_eq!(pairs(&definition.passthrough.service), []);
}

#[test]
fn names_in_install() {
    let (definition, said) = web(
        "[Install]\nWantedBy = [\"a.target\", \"b\", \"'c.target\"]\nAlso = [\"x.service\", \"y.service\"]\n\
         Alias = \"other.service http.socket web.service\"\nUpheldBy = \"k.service\"\n",
    );
    let places: Vec<_> = said
        .iter()
        .map(|said| said.split(" in [Install]").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "/web.toml:4:25: warning: 'b' of 'WantedBy='",
            "/web.toml:4:30: warning: 'WantedBy='",
            "/web.toml:5:1: warning: 'Also='",
            "/web.toml:6:9: warning: 'Alias=http.socket'",
        ]
    );
    let install = &definition.passthrough.install;
    assert_eq!(install.wanted_by.as_deref().unwrap(), ["a.target"]);
    assert_eq!(
        install.aliases,
        [("other.service".to_owned(), "web.service".to_owned())]
    );
    assert_eq!(install.upheld_by.as_deref().unwrap(), ["k.service"]);
    assert_eq!(install.not_upheld[0].place(), "/web.toml:7:1");
    assert_eq!(web("").0.passthrough.install, Install::default());
}

#[test]
fn instances_in_install() {
    let template = |keys: &str, drop_in: &str| merged("web@", keys, drop_in);
    let (_, said) = template("PublishPort = \"80%i:80\"\n[Install]\nWantedBy = \"a.target\"\n", "");
    assert_eq!(
        said,
        [
            "/web.toml:5:1: warning: [Install] cannot start the template 'web@.socket' without 'DefaultInstance=', ignoring\n \
          5 | WantedBy = \"a.target\"\n   | ^^^^^^^^"
        ]
    );
    let (definition, said) = template(
        "[Install]\nWantedBy = \"a.target\"\n",
        "[Install]\nDefaultInstance = \"../x\"\n",
    );
    assert_eq!(
        said,
        [
            "/d/10.toml:2:19: warning: 'DefaultInstance=' in [Install] makes no unit name: 'web@../x.service', ignoring\n \
          2 | DefaultInstance = \"../x\"\n   |                   ^^^^^^"
        ]
    );
    assert_eq!(definition.passthrough.install.default_instance, None);
    let (definition, said) = template("[Install]\nWantedBy = \"a.target\"\nDefaultInstance = \"x\"\n", "");
    assert_eq!(said, [""; 0]);
    assert_eq!(definition.passthrough.install.default_instance.as_deref(), Some("x"));
}

#[test]
fn sockets_and_service_are_templates_together() {
    let (_, said) = web("PublishPort = \"80:80\"\nServiceName = \"www@\"\n");
    assert_eq!(
        said,
        [
            "/web.toml:4:15: error: 'web.socket' and 'www@.service' must both be templates or neither\n \
          4 | ServiceName = \"www@\"\n   |               ^^^^^^"
        ]
    );
}
