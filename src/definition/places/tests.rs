//! Places on real directories: precedence, masks, drop-ins, and everything that is no file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::definition::places::{Contents, Loaded, Places, load, load_all, load_file};
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
