//! Places on real directories: precedence, masks, drop-ins, and everything that is no file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::definition::places::{Contents, Loaded, Places, load, load_all, load_files};
use crate::definition::{ContainerAddress, Root, SocketKind};

const WEB: &str = "[Container]\nImage = \"nginx\"\nPublishPort = \"8080:80\"\n";

/// A root with these files; a name that ends in a slash is a directory.
fn root(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(root.path(), path, text);
    }
    root
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn system(root: &TempDir) -> Contents {
    load_all(&Places::system(root.path()))
}

fn said(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().map(ToString::to_string).collect()
}

fn names(contents: &Contents) -> Vec<&str> {
    contents
        .definitions
        .iter()
        .map(|l| l.definition.name.as_str())
        .collect()
}

#[test]
fn three_lines() {
    let root = root(&[("etc/coracle/web.toml", WEB)]);
    let loaded = load(&Places::system(root.path()));
    assert_eq!(loaded.len(), 1);
    let definition = &loaded[0].definition;
    assert_eq!(said(&loaded[0]), Vec::<String>::new());
    assert_eq!(definition.name, "web");
    assert_eq!(definition.source, Path::new("/etc/coracle/web.toml"));
    assert_eq!(definition.container.root, Root::Image("nginx".to_owned()));
    assert_eq!(definition.sockets.len(), 1);
    let socket = &definition.sockets[0];
    assert_eq!((socket.name.as_str(), socket.unit.as_str()), ("web", "web"));
    assert_eq!(socket.listen[0].kind, SocketKind::Stream);
    assert_eq!(socket.listen[0].address, "8080");
    assert_eq!(socket.listen[0].container, ContainerAddress::Port(80));
}

#[test]
fn stronger_places_and_masks() {
    let other = WEB.replace("nginx", "other");
    let root = root(&[
        ("etc/coracle/a.toml", WEB),
        ("run/coracle/a.toml", &other),
        ("run/coracle/b.toml", WEB),
        ("usr/lib/coracle/b.toml", &other),
        ("usr/lib/coracle/sub/deep/c.toml", WEB),
        ("etc/coracle/d.toml", ""),
        ("usr/lib/coracle/d.toml", WEB),
        ("usr/lib/coracle/e.toml", WEB),
        ("usr/lib/coracle/f.toml", ""),
        ("etc/coracle/f.toml", WEB),
        ("etc/coracle/users/u.toml", WEB),
        ("etc/coracle/x.toml.d/g.toml", WEB),
        ("etc/coracle/other.d/h.toml", WEB),
        ("etc/coracle/.hidden.toml", "nonsense"),
        ("etc/coracle/README", "nonsense"),
    ]);
    symlink("/dev/null", root.path().join("etc/coracle/e.toml")).unwrap();
    let contents = system(&root);
    assert_eq!(names(&contents), ["a", "b", "c", "f"]);
    for loaded in &contents.definitions {
        assert_eq!(loaded.definition.container.root, Root::Image("nginx".to_owned()));
        assert!(!loaded.is_broken());
    }
    assert_eq!(
        contents.definitions[2].definition.source,
        Path::new("/usr/lib/coracle/sub/deep/c.toml")
    );
    let strays: Vec<_> = contents.strays.iter().map(ToString::to_string).collect();
    assert_eq!(
        strays,
        ["/etc/coracle/x.toml.d: there is no 'x.toml' for these drop-ins, ignoring"]
    );
}

#[test]
fn users() {
    let root = root(&[
        ("home/u/.config/coracle/a.toml", WEB),
        ("etc/coracle/users/1000/a.toml", "nonsense"),
        ("etc/coracle/users/1000/b.toml", WEB),
        ("etc/coracle/users/b.toml", "nonsense"),
        ("etc/coracle/users/1001/c.toml", WEB),
        ("etc/coracle/users/sub/d.toml", WEB),
        ("etc/coracle/e.toml", WEB),
    ]);
    let contents = load_all(&Places::user(root.path(), Path::new("/home/u/.config"), 1000));
    assert_eq!(names(&contents), ["a", "b", "d"]);
    assert!(contents.definitions.iter().all(|loaded| !loaded.is_broken()));
    assert_eq!(
        contents.definitions[0].definition.source,
        Path::new("/home/u/.config/coracle/a.toml")
    );
}

#[test]
fn drop_ins_from_everywhere() {
    let user = |name: &str| format!("[Container]\nUser = \"{name}\"\nEnvironment = [\"{name}=1\"]\n");
    let root = root(&[
        ("usr/lib/coracle/web.toml", WEB),
        ("usr/lib/coracle/web.toml.d/20-b.toml", &user("weak")),
        ("usr/lib/coracle/web.toml.d/30-c.toml", &user("masked")),
        ("etc/coracle/web.toml.d/20-b.toml", &user("strong")),
        ("etc/coracle/web.toml.d/30-c.toml", ""),
        ("run/coracle/sub/web.toml.d/10-a.toml", &user("first")),
        ("run/coracle/sub/web.toml.d/notes.txt", "nonsense"),
        ("etc/coracle/t@.toml", WEB),
        ("etc/coracle/t@.toml.d/1.toml", &user("template")),
        ("etc/coracle/t@.toml.d/2.toml", &user("template2")),
        ("etc/coracle/t@x.toml.d/2.toml", &user("instance")),
        ("etc/coracle/t@y.toml.d/2.toml", &user("lonely")),
    ]);
    symlink("t@.toml", root.path().join("etc/coracle/t@x.toml")).unwrap();
    let contents = system(&root);
    assert_eq!(names(&contents), ["t@", "t@x", "web"]);
    let environment = |index: usize| -> Vec<&str> {
        let container = &contents.definitions[index].definition.container;
        container.environment.iter().map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(environment(0), ["template", "template2"]);
    assert_eq!(environment(1), ["template", "instance"]);
    assert_eq!(environment(2), ["first", "strong"]);
    let web = &contents.definitions[2].definition;
    assert_eq!(web.container.user.as_deref(), Some("strong"));
    assert_eq!(
        web.drop_ins,
        [
            Path::new("/run/coracle/sub/web.toml.d/10-a.toml"),
            Path::new("/etc/coracle/web.toml.d/20-b.toml")
        ]
    );
    assert_eq!(contents.definitions[1].definition.sockets[0].unit, "t@x");
    assert_eq!(contents.strays.len(), 1);
    assert!(
        contents.strays[0]
            .to_string()
            .ends_with("make 't@y.toml' a link to 't@.toml'")
    );
}

#[test]
fn the_same_name_twice() {
    let root = root(&[
        ("etc/coracle/a/web.toml", WEB),
        ("etc/coracle/b/web.toml", WEB),
        ("run/coracle/web.toml", WEB),
        ("etc/coracle/good.toml", WEB),
    ]);
    let contents = system(&root);
    assert_eq!(names(&contents), ["good", "web"]);
    assert_eq!(
        said(&contents.definitions[1]),
        [
            "/etc/coracle/a/web.toml: 'web' is also defined by '/etc/coracle/b/web.toml', remove or rename one of them",
            "/etc/coracle/b/web.toml: 'web' is also defined by '/etc/coracle/a/web.toml', remove or rename one of them"
        ]
    );
}

#[test]
fn bad_files_do_not_stop_others() {
    let root = root(&[
        ("etc/coracle/good.toml", WEB),
        ("etc/coracle/binary.toml", ""),
        ("etc/coracle/large.toml", &"#".repeat(10 * 1024 * 1024)),
        ("etc/coracle/odd name.toml", WEB),
        ("etc/coracle/directory.toml/x", ""),
        ("etc/coracle/web.container", "[Container]\nImage=x\n"),
        ("etc/coracle/web.kube", ""),
    ]);
    let place = root.path().join("etc/coracle");
    fs::write(place.join("binary.toml"), b"[Container]\nImage = \"\xff\"\n").unwrap();
    symlink("nowhere", place.join("dangling.toml")).unwrap();
    symlink("circle.toml", place.join("circle.toml")).unwrap();
    symlink(".", place.join("loop")).unwrap();
    symlink("/dev/zero", place.join("device.toml")).unwrap();
    nix::unistd::mkfifo(&place.join("pipe.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.join("socket.toml")).unwrap();
    let contents = system(&root);
    let bad: Vec<_> = contents
        .definitions
        .iter()
        .filter(|loaded| loaded.is_broken())
        .flat_map(said)
        .collect();
    assert_eq!(
        bad,
        [
            "/etc/coracle/binary.toml:2:10: the file is not text: this byte is not valid UTF-8",
            "/etc/coracle/circle.toml: the file cannot be read: Too many levels of symbolic links (os error 40)",
            "/etc/coracle/dangling.toml: the file is a link to 'nowhere', which does not exist",
            "/etc/coracle/device.toml: this is a device, not a file, remove or rename it",
            "/etc/coracle/directory.toml: this is a directory, not a file, remove or rename it",
            "/etc/coracle/large.toml: the file is larger than 1 MiB, which no definition is",
            "/etc/coracle/odd name.toml: the name holds a space, but a unit's name is made of ASCII letters, digits and ':-_.\\@', \
             rename the file",
            "/etc/coracle/pipe.toml: this is a named pipe, not a file, remove or rename it",
            "/etc/coracle/socket.toml: this is a socket, not a file, remove or rename it",
        ]
    );
    let binary = contents.definitions[0].diagnostics[0].render();
    assert!(
        binary.ends_with("\n 2 | Image = \"\u{fffd}\"\n   |          ^"),
        "{binary}"
    );
    let good: Vec<_> = contents
        .definitions
        .iter()
        .filter(|l| !l.is_broken())
        .map(|l| l.definition.name.as_str())
        .collect();
    assert_eq!(good, ["good"]);
    assert!(names(&contents).contains(&"odd\\x20name"));
    let strays: Vec<_> = contents.strays.iter().map(ToString::to_string).collect();
    assert_eq!(
        strays,
        [
            "/etc/coracle/web.container: Quadlet files are not read yet, ignoring",
            "/etc/coracle/web.kube: Quadlet files are not read yet, ignoring"
        ]
    );
}

#[test]
fn names_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt;
    let root = root(&[("etc/coracle/good.toml", WEB)]);
    let place = root.path().join("etc/coracle");
    fs::write(place.join(std::ffi::OsStr::from_bytes(b"\xff.toml")), WEB).unwrap();
    fs::write(place.join(format!("{}.toml", "a".repeat(250))), WEB).unwrap();
    let odd = place.join(std::ffi::OsStr::from_bytes(b"\xfe"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("inner.toml"), WEB).unwrap();
    let contents = system(&root);
    assert_eq!(contents.definitions.len(), 4);
    for loaded in &contents.definitions {
        let name = &loaded.definition.name;
        assert_eq!(crate::definition::name::mistake(name), None);
        assert_eq!(loaded.is_broken(), name != "good");
        assert_eq!(loaded.diagnostics.len(), usize::from(name != "good"));
        assert!(serde_json::to_string(&loaded.diagnostics).is_ok());
    }
}

#[test]
fn a_place_that_is_no_directory() {
    let root = root(&[("etc/coracle", "x"), ("run/coracle/web.toml", WEB)]);
    let contents = system(&root);
    assert_eq!(names(&contents), ["web"]);
    assert_eq!(contents.strays.len(), 1);
    assert_eq!(system(&tempfile::tempdir().unwrap()), Contents::default());
}

#[test]
fn one_file() {
    let root = root(&[
        ("web.toml", WEB),
        ("web.toml.d/1.toml", "[Container]\nUser = 1\n"),
        ("empty.toml", ""),
        ("web.container", ""),
        ("web.txt", ""),
    ]);
    let places = Places::system(root.path());
    let load = |name: &str| {
        let files = [root.path().join(name)];
        load_files(&files, &places).definitions.remove(0)
    };
    let web = load("web.toml");
    assert_eq!(
        (web.is_broken(), web.definition.container.user.as_deref()),
        (false, Some("1"))
    );
    assert_eq!(web.definition.source, root.path().join("web.toml"));
    assert_eq!(load("web.toml.d/1.toml"), web);
    let empty = load("empty.toml");
    assert_eq!((empty.is_broken(), empty.diagnostics.len()), (false, 1));
    assert!(load("web.container").is_broken());
    assert!(load("web.txt").is_broken());
    assert!(load("missing.toml").is_broken());
    assert!(load("").is_broken());
}

/// Not a benchmark, but enough to see anything quadratic: a thousand definitions within a bound that a loaded machine and
/// a build without optimisation can keep. Prints the time for those who measure.
#[test]
fn a_thousand_definitions() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..1000 {
        let text = format!(
            "[Container]\nImage = \"x\"\nPublishPort = \"{}:80\"\n\n[Service]\nMemoryMax = \"256M\"\n",
            1000 + index
        );
        write(root.path(), &format!("etc/coracle/c{index}.toml"), &text);
    }
    let start = std::time::Instant::now();
    let contents = system(&root);
    let time = start.elapsed();
    assert!(
        contents.definitions.len() == 1000 && contents.definitions.iter().all(|loaded| loaded.diagnostics.is_empty())
    );
    assert!(time.as_secs() < 3, "{time:?}");
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "1,000 definitions: {time:?}");
}
