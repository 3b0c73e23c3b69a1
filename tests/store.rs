//! The image store on a real file system: what is imported, what is refused, what is left behind.
//!
//! These tests need root: layers have owners, device nodes, and attributes that only root may write.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "store/build.rs"]
mod build;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use build::{
    Layer, Tar, archive_of, gzip_layer, layout, named, plain_layer, put_image, put_index, put_layout, zstd_layer,
};
use coracle::image::digest::Digest;
use coracle::image::platform;
use coracle::image::reference::Reference;
use coracle::store::import::{Imported, Request};
use coracle::store::refuse::Returned;
use coracle::store::remove::InUse;
use coracle::store::source::Location;
use coracle::store::{Image, Store};
use nix::mount::{MsFlags, mount};
use proptest::prelude::{ProptestConfig, any, proptest};
use serde_json::json;
use tar::EntryType;
use tempfile::TempDir;

const NAME: &str = "localhost/t:1";

/// A store, and beside it what must not change.
struct Bench {
    temporary: TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        let temporary = tempfile::tempdir().unwrap();
        fs::create_dir(temporary.path().join("sentinel")).unwrap();
        fs::write(temporary.path().join("sentinel/file"), "untouched").unwrap();
        let store = Store::open(&temporary.path().join("store")).unwrap();
        Self { temporary, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    fn import(&self, source: &str, name: Option<&str>, changes: &[&str]) -> anyhow::Result<Vec<Imported>> {
        self.store.import(&Request {
            location: Location::parse(source),
            name: name.map(|name| name.parse().unwrap()),
            changes: changes.iter().map(|change| (*change).to_owned()).collect(),
        })
    }

    fn import_tar(&self, bytes: &[u8]) -> anyhow::Result<Image> {
        let path = self.path("input.tar");
        fs::write(&path, bytes).unwrap();
        let imported = self.import(&format!("tar:{}", path.display()), Some(NAME), &[]);
        fs::remove_file(&path).unwrap();
        imported?;
        self.store.find(&reference(NAME))
    }

    /// The directory of the only layer.
    fn layer(&self, tar: Tar) -> PathBuf {
        let image = self.import_tar(&tar.finish()).unwrap();
        assert_eq!(image.layers.len(), 1);
        self.store.layer_path(&image.layers[0])
    }

    fn error(&self, source: &str, name: Option<&str>) -> String {
        format!("{:#}", self.import(source, name, &[]).unwrap_err())
    }

    /// Nothing is half done: no staging directory, no lock, and exactly so many layers and blobs.
    fn assert_clean(&self, layers: usize, blobs: usize) {
        for (name, count) in [
            ("staging", 0),
            ("locks", 0),
            ("layers", layers),
            ("blobs/sha256", blobs),
        ] {
            let found: Vec<_> = fs::read_dir(self.store.root().join(name))
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            assert_eq!(found.len(), count, "{name}: {found:?}");
        }
    }

    /// Everything outside of the store.
    fn outside(&self) -> BTreeMap<PathBuf, (u32, u32, i64, Vec<u8>)> {
        let mut seen = BTreeMap::new();
        let mut todo = vec![self.temporary.path().to_owned()];
        while let Some(path) = todo.pop() {
            if path == self.store.root() {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            if metadata.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            let changes = if path == self.temporary.path() {
                0
            } else {
                metadata.ctime()
            };
            seen.insert(path, (metadata.mode(), metadata.uid(), changes, content));
        }
        seen
    }
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_char_device() && found.rdev() == 0)
}

/// Runs `look` on the image's layers under a real overlay mount, in a mount namespace of its own.
fn with_overlay<T: Send + 'static>(bench: &Bench, image: &Image, look: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let merged = bench.path("merged");
    fs::create_dir_all(&merged).unwrap();
    let empty = bench.path("empty");
    fs::create_dir_all(&empty).unwrap();
    let mut layers: Vec<String> = image
        .layers
        .iter()
        .rev()
        .map(|name| bench.store.layer_path(name).display().to_string())
        .collect();
    // Without an upper directory overlayfs wants two layers.
    layers.push(empty.display().to_string());
    let options = format!("lowerdir={}", layers.join(":"));
    let run = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(
            Some("overlay"),
            &merged,
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        let seen = look(&merged);
        nix::mount::umount(&merged).unwrap();
        seen
    };
    std::thread::spawn(run).join().unwrap()
}

fn three_layers() -> Vec<Layer> {
    vec![
        gzip_layer(
            Tar::new()
                .dir("./")
                .dir("etc/")
                .file("etc/a", "1")
                .file("etc/b", "1")
                .dir("gone/")
                .file("gone/x", "1")
                .dir("opaque/")
                .file("opaque/old", "1")
                .dir("refilled/")
                .file("refilled/old", "1")
                .file("file", "1"),
        ),
        zstd_layer(
            Tar::new()
                .dir("etc/")
                .file("etc/.wh.a", "")
                .file(".wh.gone", "")
                .dir("opaque/")
                .file("opaque/new", "2")
                .file("opaque/.wh..wh..opq", "")
                .file(".wh.refilled", "")
                .dir("refilled/")
                .file("refilled/new", "2"),
        ),
        plain_layer(
            Tar::new()
                .dir("etc/")
                .file("etc/a", "3")
                .file(".wh.file", "")
                .dir("file/")
                .file("file/x", "3"),
        ),
    ]
}

#[test]
fn layers_stack_as_the_specification_says() {
    let bench = Bench::new();
    let source = bench.path("layout");
    layout(&source, NAME, &three_layers());
    let manifest = fs::read_to_string(source.join("index.json")).unwrap();
    let imported = bench.import(source.to_str().unwrap(), None, &[]).unwrap();
    assert_eq!(imported.len(), 1);
    assert_eq!(imported[0].reference, reference(NAME));
    assert!(
        manifest.contains(&imported[0].digest.to_string()),
        "the manifest's digest was changed"
    );
    bench.assert_clean(3, 5);
    let image = bench.store.find(&reference(NAME)).unwrap();
    assert_eq!(image.manifest_digest, imported[0].digest);
    assert_eq!(
        image.config.config().as_ref().unwrap().cmd().as_ref().unwrap(),
        &["/bin/x"]
    );
    let names = with_overlay(&bench, &image, |root| {
        let list = |name: &str| {
            let mut names: Vec<String> = fs::read_dir(root.join(name))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(fs::read_to_string(root.join("etc/a")).unwrap(), "3");
        (list(""), list("etc"), list("opaque"), list("refilled"), list("file"))
    });
    let expected = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(names.0, expected(&["etc", "file", "opaque", "refilled"]));
    assert_eq!(names.1, expected(&["a", "b"]));
    assert_eq!(names.2, expected(&["new"]));
    assert_eq!(
        names.3,
        expected(&["new"]),
        "a directory in place of a deleted one shows the old content"
    );
    assert_eq!(names.4, expected(&["x"]));
}

#[test]
fn whiteouts_spare_their_own_layer() {
    let bench = Bench::new();
    let layer = bench.layer(
        Tar::new()
            .file("before", "x")
            .file(".wh.before", "")
            .file(".wh.after", "")
            .file("after", "x")
            .dir("d/")
            .file("d/x", "")
            .file(".wh.d", "")
            .file(".wh.nodir", "")
            .file("nodir/x", "")
            .file(".wh..wh.plnk", "")
            .file(".wh..wh.orph/x", "")
            .file(".wh.deleted", ""),
    );
    assert_eq!(fs::read_to_string(layer.join("before")).unwrap(), "x");
    assert_eq!(fs::read_to_string(layer.join("after")).unwrap(), "x");
    assert!(layer.join("d/x").exists() && layer.join("nodir/x").exists() && is_whiteout(&layer.join("deleted")));
    assert_eq!(xattr(&layer.join("d"), "trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(xattr(&layer.join("nodir"), "trusted.overlay.opaque").unwrap(), b"y");
    assert!(!layer.join(".wh..wh.plnk").exists());
}

#[test]
fn a_directory_without_an_entry_keeps_its_owner_and_mode() {
    let bench = Bench::new();
    let private = |header: &mut tar::Header| {
        header.set_mode(0o1777);
        header.set_uid(7);
    };
    let layers = [
        plain_layer(
            Tar::new()
                .entry("./", EntryType::Directory, "", b"", |h| h.set_mode(0o711))
                .entry("tmp/", EntryType::Directory, "", b"", private)
                .file("tmp/old", "")
                .dir("gone/"),
        ),
        plain_layer(Tar::new().file("other", "")),
        plain_layer(Tar::new().file("tmp/.wh.old", "").file("tmp/new/x", "")),
    ];
    layout(&bench.path("layout"), NAME, &layers);
    bench.import(bench.path("layout").to_str().unwrap(), None, &[]).unwrap();
    let top = bench.store.layer_path(layers[2].diff_id.hex());
    let stat = |name: &str| fs::symlink_metadata(top.join(name)).unwrap();
    assert_eq!((stat("tmp").mode() & 0o7777, stat("tmp").uid()), (0o1777, 7));
    assert_eq!(
        (stat("").mode() & 0o7777, stat("").mtime(), stat("tmp").mtime()),
        (0o711, 1_000_000_000, 1_000_000_000)
    );
    assert_eq!((stat("tmp/new").mode() & 0o7777, stat("tmp/new").uid()), (0o755, 0));
}

#[test]
fn an_opaque_root_hides_all_lower_layers() {
    let bench = Bench::new();
    let layers = [
        plain_layer(Tar::new().file("old", "")),
        plain_layer(Tar::new().file(".wh..wh..opq", "").file("new", "")),
    ];
    layout(&bench.path("layout"), NAME, &layers);
    bench.import(bench.path("layout").to_str().unwrap(), None, &[]).unwrap();
    let image = bench.store.find(&reference(NAME)).unwrap();
    assert_eq!(image.layers, [layers[1].diff_id.hex()]);
}

#[test]
fn a_repeated_layer_is_stacked_once() {
    let bench = Bench::new();
    let (a, b) = (
        plain_layer(Tar::new().file("a", "")),
        plain_layer(Tar::new().file("b", "")),
    );
    layout(&bench.path("layout"), NAME, &[a.clone(), b.clone(), a.clone()]);
    bench.import(bench.path("layout").to_str().unwrap(), None, &[]).unwrap();
    let image = bench.store.find(&reference(NAME)).unwrap();
    assert_eq!(image.layers, [b.diff_id.hex(), a.diff_id.hex()]);
    assert!(with_overlay(&bench, &image, |root| root.join("a").exists()
        && root.join("b").exists()));
}

#[test]
fn files_are_what_the_archive_says() {
    let bench = Bench::new();
    let capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let long = "d/".repeat(100) + &"n".repeat(200);
    let gnu = format!("{}/{}", "g".repeat(120), "h".repeat(120));
    let device = |major: u32, minor: u32| {
        move |header: &mut tar::Header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        }
    };
    let tar = Tar::new()
        .entry("./", EntryType::Directory, "", b"", |h| h.set_mode(0o711))
        .entry("setuid", EntryType::Regular, "", b"x", |h| {
            h.set_mode(0o4755);
            h.set_uid(7);
            h.set_gid(8);
        })
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.note", b"n"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"x"),
        ])
        .file("capable", "x")
        .pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")])
        .dir("forged/")
        .link("hard", "setuid")
        .link("hard/", "./hard")
        .symlink("link", "/etc/passwd")
        .entry("null", EntryType::Char, "", b"", device(1, 3))
        .entry("disk", EntryType::Block, "", b"", device(8, 300))
        .entry("pipe", EntryType::Fifo, "", b"", |h| h.set_mode(0o620))
        .pax(&[("path", long.as_bytes()), ("uid", b"3000000000"), ("mtime", b"1.5")])
        .file("short", "long")
        .long_name(&gnu)
        .file("short", "gnu")
        .entry("big", EntryType::Regular, "", b"", |h| h.set_uid(3_000_000_000))
        .entry("blank", EntryType::Regular, "", b"", |h| {
            h.as_mut_bytes()[100..148].fill(0)
        })
        .file("twice", "first")
        .file("twice", "second")
        .dir("replaced/")
        .file("replaced/x", "")
        .file("replaced", "now a file")
        .file("grown", "")
        .dir("grown/")
        .file("grown/x", "")
        .dir("time/")
        .file("time/x", "")
        .file("/absolute", "")
        .entry("v7/", EntryType::Regular, "", b"", |_| {});
    let layer = bench.layer(tar);
    let stat = |name: &str| fs::symlink_metadata(layer.join(name)).unwrap();
    assert_eq!(stat("").mode() & 0o7777, 0o711);
    assert_eq!(
        (
            stat("setuid").mode() & 0o7777,
            stat("setuid").uid(),
            stat("setuid").gid()
        ),
        (0o4755, 7, 8)
    );
    assert_eq!((stat("hard").ino(), stat("hard").nlink()), (stat("setuid").ino(), 2));
    assert_eq!(
        xattr(&layer.join("capable"), "security.capability").unwrap(),
        capability
    );
    assert_eq!(xattr(&layer.join("capable"), "user.note").unwrap(), b"n");
    for name in [
        "trusted.overlay.redirect",
        "trusted.overlay.opaque",
        "user.overlay.opaque",
    ] {
        assert_eq!(xattr(&layer.join("capable"), name), None, "{name}");
        assert_eq!(xattr(&layer.join("forged"), name), None, "{name}");
    }
    assert_eq!(fs::read_link(layer.join("link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(
        (stat("null").file_type().is_char_device(), stat("null").rdev()),
        (true, nix::sys::stat::makedev(1, 3))
    );
    assert_eq!(
        (stat("disk").file_type().is_block_device(), stat("disk").rdev()),
        (true, nix::sys::stat::makedev(8, 300))
    );
    assert_eq!(
        (stat("pipe").file_type().is_fifo(), stat("pipe").mode() & 0o777),
        (true, 0o620)
    );
    assert_eq!(
        (stat(&long).uid(), stat(&long).mtime(), stat(&long).mtime_nsec()),
        (3_000_000_000, 1, 500_000_000)
    );
    assert_eq!(fs::read_to_string(layer.join(&gnu)).unwrap(), "gnu");
    assert_eq!(stat("big").uid(), 3_000_000_000);
    assert_eq!(
        (
            stat("blank").mode() & 0o7777,
            stat("blank").uid(),
            stat("blank").mtime()
        ),
        (0, 0, 0)
    );
    assert_eq!(fs::read_to_string(layer.join("twice")).unwrap(), "second");
    assert_eq!(fs::read_to_string(layer.join("replaced")).unwrap(), "now a file");
    assert!(layer.join("grown/x").exists() && layer.join("absolute").exists() && layer.join("v7").is_dir());
    for name in ["", "setuid", "link", "time", "pipe"] {
        assert_eq!(stat(name).mtime(), 1_000_000_000, "{name}");
    }
}

#[test]
fn sparse_files_are_filled_in() {
    let bench = Bench::new();
    let tree = bench.path("tree");
    fs::create_dir(&tree).unwrap();
    let sparse = tree.join("sparse");
    let file = fs::File::create(&sparse).unwrap();
    use std::os::unix::fs::FileExt;
    for at in 0..40_u64 {
        file.write_all_at(b"data", at << 20).unwrap();
    }
    file.set_len(50 << 20).unwrap();
    for format in [
        "gnu",
        "pax --sparse-version=0.0",
        "pax --sparse-version=0.1",
        "pax --sparse-version=1.0",
    ] {
        let archive = bench.path("sparse.tar");
        let command = format!(
            "tar --sparse --format={format} -cf {} -C {} .",
            archive.display(),
            tree.display()
        );
        assert!(Command::new("sh").arg("-c").arg(command).status().unwrap().success());
        assert!(fs::metadata(&archive).unwrap().len() < 1 << 20, "tar found no holes");
        bench.import(archive.to_str().unwrap(), Some(NAME), &[]).unwrap();
        let image = bench.store.find(&reference(NAME)).unwrap();
        let unpacked = bench.store.layer_path(&image.layers[0]).join("sparse");
        assert!(fs::read(&unpacked).unwrap() == fs::read(&sparse).unwrap(), "{format}");
        assert!(
            fs::metadata(&unpacked).unwrap().blocks() < 4096,
            "{format}: the holes are gone"
        );
    }
}

#[test]
fn attacks_reach_nothing_outside() {
    let long = "n".repeat(300);
    let huge = vec![b'x'; 2 << 20];
    let probe = Bench::new();
    let sentinel = probe.path("sentinel").display().to_string();
    let victim = format!("{sentinel}/file");
    let up = format!("../../../../../../../..{sentinel}");
    let number = |header: &mut tar::Header| header.set_uid(u64::from(u32::MAX));
    // What is in the archive, and the part of the message with which it is refused, or nothing if it is contained.
    let attacks: Vec<(&str, Tar, &str)> = vec![
        ("dot dot", Tar::new().file("../x", "evil"), "'..'"),
        ("dot dot inside", Tar::new().dir("a").file("a/../../x", "evil"), "'..'"),
        ("absolute dot dot", Tar::new().file("/../x", "evil"), "'..'"),
        ("absolute", Tar::new().file("/x", "contained"), ""),
        (
            "absolute link as parent",
            Tar::new().symlink("a", &sentinel).file("a/file", "evil"),
            "link to nowhere",
        ),
        (
            "relative link as parent",
            Tar::new().symlink("a", &up).file("a/file", "evil"),
            "link to nowhere",
        ),
        (
            "link to the root as parent",
            Tar::new().symlink("a", "/").file("a/x", "contained"),
            "",
        ),
        (
            "link upwards as parent",
            Tar::new().symlink("a", "../../..").file("a/x", "contained"),
            "",
        ),
        (
            "links in a circle",
            Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", ""),
            "unpacking 'a/x'",
        ),
        (
            "hard link to an absolute path",
            Tar::new().link("h", &victim),
            "not in the layer",
        ),
        (
            "hard link upwards",
            Tar::new().link("h", "../../../sentinel/file"),
            "'..'",
        ),
        (
            "hard link through a link",
            Tar::new().symlink("s", &sentinel).link("h", "s/file"),
            "not in the layer",
        ),
        (
            "hard link to a link, then written",
            Tar::new().symlink("s", &victim).link("h", "s").file("h", "contained"),
            "",
        ),
        (
            "hard link to the root",
            Tar::new().link("h", "."),
            "hard link to the root",
        ),
        (
            "hard link to a directory",
            Tar::new().dir("d").link("h", "d"),
            "hard link to the directory",
        ),
        (
            "hard link to what is deleted",
            Tar::new().file(".wh.d", "").link("h", "d"),
            "deletes",
        ),
        (
            "hard link to itself",
            Tar::new().file("f", "contained").link("f", "f"),
            "",
        ),
        (
            "a link replaced by a file",
            Tar::new().symlink("s", &victim).file("s", "contained"),
            "",
        ),
        (
            "a link replaced by a directory",
            Tar::new().symlink("s", &sentinel).dir("s").file("s/file", "contained"),
            "",
        ),
        (
            "a directory replaced by a link",
            Tar::new()
                .dir("s")
                .file("s/a", "")
                .symlink("s", &sentinel)
                .file("s/file", ""),
            "link to nowhere",
        ),
        (
            "opaque through a link",
            Tar::new().symlink("s", &sentinel).file("s/.wh..wh..opq", ""),
            "link to nowhere",
        ),
        (
            "whiteout through a link",
            Tar::new().symlink("s", &sentinel).file("s/.wh.file", ""),
            "link to nowhere",
        ),
        (
            "the root as a link",
            Tar::new().symlink(".", &sentinel).file("file", "evil"),
            "can only be a directory",
        ),
        (
            "the root as a link, with a slash",
            Tar::new().symlink("./", &sentinel),
            "can only be a directory",
        ),
        (
            "the root as a file",
            Tar::new().file("/.", "evil"),
            "can only be a directory",
        ),
        ("whiteout of nothing", Tar::new().file(".wh.", ""), "without a name"),
        ("whiteout of the root", Tar::new().file(".wh..", ""), "without a name"),
        (
            "whiteout of the parent",
            Tar::new().file(".wh...", ""),
            "without a name",
        ),
        (
            "a file as parent",
            Tar::new().file("f", "").file("f/x", ""),
            "opening 'f' as a directory",
        ),
        (
            "a pipe as parent",
            Tar::new().entry("p", EntryType::Fifo, "", b"", |_| {}).file("p/x", ""),
            "as a directory",
        ),
        (
            "owner minus one",
            Tar::new().entry("x", EntryType::Regular, "", b"", number),
            "out of range",
        ),
        (
            "zero byte in a name",
            Tar::new().pax(&[("path", b"a\0b")]).file("x", ""),
            "zero byte",
        ),
        (
            "long component",
            Tar::new().pax(&[("path", long.as_bytes())]).file("x", ""),
            "longer than 255",
        ),
        (
            "long path",
            Tar::new().pax(&[("path", "a/".repeat(2100).as_bytes())]).file("x", ""),
            "longer than 4095",
        ),
        (
            "huge PAX header",
            Tar::new().pax(&[("comment", &huge)]).file("x", ""),
            "larger than the limit",
        ),
        (
            "unknown type",
            Tar::new().entry("x", EntryType::new(b'V'), "", b"", |_| {}),
            "not supported",
        ),
        (
            "PAX header without an entry",
            Tar::new().pax(&[("path", b"x")]),
            "extended header",
        ),
        (
            "malformed PAX header",
            Tar::new().entry("x", EntryType::XHeader, "", b"99 a=b\n", |_| {}),
            "malformed",
        ),
        (
            "too large for its archive",
            Tar::new().entry("x", EntryType::Regular, "", b"", |h| h.set_size(1 << 40)),
            "cut off",
        ),
        ("link without a target", Tar::new().symlink("s", ""), "no target"),
        ("not an archive", Tar::new().raw(&[b'x'; 1024]), "not a tar archive"),
    ];
    for (title, tar, refusal) in attacks {
        let before = probe.outside();
        let outcome = probe.import_tar(&tar.finish());
        match (outcome, refusal) {
            (Ok(_), "") => {}
            (Err(error), "") => panic!("{title}: refused: {error:#}"),
            (Ok(_), _) => panic!("{title}: not refused"),
            (Err(error), part) => {
                let message = format!("{error:#}");
                assert!(message.contains(part) && !message.contains('\n'), "{title}: {message}");
                probe.assert_clean(0, 0);
            }
        }
        assert_eq!(probe.outside(), before, "{title}: something outside was changed");
        fs::remove_dir_all(probe.store.root()).unwrap();
    }
}

#[test]
fn damage_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let source = bench.path("layout");
    let layers = three_layers();
    layout(&source, NAME, &layers);
    let text = source.to_str().unwrap();
    let blob = source.join("blobs/sha256").join(Digest::of(&layers[1].blob).hex());
    for damaged in [
        [&layers[1].blob[..layers[1].blob.len() - 1], b"x"].concat(),
        layers[1].blob[..20].to_vec(),
        [&layers[1].blob[..], b"x"].concat(),
        Vec::new(),
        layers[0].blob.clone(),
    ] {
        fs::write(&blob, damaged).unwrap();
        let error = bench.error(text, None);
        assert!(error.contains("the blob"), "{error}");
        bench.assert_clean(0, 0);
    }
    fs::remove_file(&blob).unwrap();
    assert!(bench.error(text, None).contains("opening"));
    // A right blob that is not the layer that the configuration names.
    let mut wrong = layers.clone();
    wrong[0].diff_id = Digest::of(b"other");
    layout(&source, NAME, &wrong);
    assert!(
        bench
            .error(text, None)
            .contains("not the one that the image configuration names")
    );
    bench.assert_clean(0, 0);
    fs::write(source.join("index.json"), "{").unwrap();
    assert!(bench.error(text, None).contains("index.json"));
}

#[test]
fn all_forms_of_an_image_are_recognised() {
    let bench = Bench::new();
    let source = bench.path("layout");
    layout(&source, "docker.io/library/x:1", &three_layers());
    let directory = bench.import(source.to_str().unwrap(), None, &[]).unwrap();
    let archive = archive_of(&source);
    for (name, bytes) in [
        ("a.tar", archive.clone()),
        ("a.tgz", build::gzip(&archive)),
        ("a.zst", build::zstd(&archive)),
    ] {
        fs::write(bench.path(name), bytes).unwrap();
        assert_eq!(
            bench.import(bench.path(name).to_str().unwrap(), None, &[]).unwrap(),
            directory,
            "{name}"
        );
        let forced = format!("oci-archive:{}:x:1", bench.path(name).display());
        assert_eq!(bench.import(&forced, None, &[]).unwrap(), directory, "{forced}");
    }
    bench.assert_clean(3, 5);
}

fn docker_archive(layers: &[Layer], tags: &serde_json::Value, old: bool) -> Vec<u8> {
    let config = build::config(platform::architecture(), layers);
    let hex = Digest::of(&config).hex().to_owned();
    let mut tar = Tar::new();
    let mut names = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let name = if old {
            format!("{at:064}/layer.tar")
        } else {
            format!("{}.tar", layer.diff_id.hex())
        };
        if old {
            tar = tar.dir(&format!("{at:064}/")).file(&format!("{at:064}/VERSION"), "1.0");
        }
        tar = tar.entry(&name, EntryType::Regular, "", &layer.blob, |_| {});
        names.push(name);
    }
    let manifest = json!([{ "Config": format!("{hex}.json"), "RepoTags": tags, "Layers": names }]);
    tar.entry(&format!("{hex}.json"), EntryType::Regular, "", &config, |_| {})
        .file("repositories", "{}")
        .file("manifest.json", &manifest.to_string())
        .finish()
}

#[test]
fn docker_archives_old_and_new() {
    let bench = Bench::new();
    let layers = vec![
        plain_layer(Tar::new().file("a", "1")),
        plain_layer(Tar::new().file("b", "2")),
    ];
    let mut digests = Vec::new();
    for old in [true, false] {
        let path = bench.path("docker.tar");
        fs::write(&path, docker_archive(&layers, &json!(["x:1", "quay.io/y/z:2"]), old)).unwrap();
        let imported = bench.import(path.to_str().unwrap(), None, &[]).unwrap();
        assert_eq!(imported.len(), 2);
        assert_eq!(imported[0].reference.to_string(), "docker.io/library/x:1");
        digests.push(imported[0].digest.clone());
        let image = bench.store.find(&reference("quay.io/y/z:2")).unwrap();
        assert_eq!(image.layers, [layers[0].diff_id.hex(), layers[1].diff_id.hex()]);
        // The configuration is kept byte for byte.
        let config = Digest::of(&build::config(platform::architecture(), &layers));
        assert!(bench.store.blob_path(&config).exists());
        bench.assert_clean(2, 4);
        fs::write(&path, docker_archive(&layers, &json!(null), old)).unwrap();
        assert!(bench.error(path.to_str().unwrap(), None).contains("--name"));
        bench.import(path.to_str().unwrap(), Some("named"), &[]).unwrap();
    }
    assert_eq!(digests[0], digests[1]);
    // A layer that an archive has as a link to another one's file.
    let config = build::config(platform::architecture(), &[layers[0].clone(), layers[0].clone()]);
    let (one, two, hex) = ("1".repeat(64), "2".repeat(64), Digest::of(&config).hex().to_owned());
    let manifest = json!([{ "Config": format!("{hex}.json"), "RepoTags": ["linked:1"],
        "Layers": [format!("{one}/layer.tar"), format!("{two}/layer.tar")] }]);
    let tar = Tar::new()
        .entry(
            &format!("{one}/layer.tar"),
            EntryType::Regular,
            "",
            &layers[0].blob,
            |_| {},
        )
        .symlink(&format!("{two}/layer.tar"), &format!("../{one}/layer.tar"))
        .entry(&format!("{hex}.json"), EntryType::Regular, "", &config, |_| {})
        .file("manifest.json", &manifest.to_string());
    fs::write(bench.path("linked.tar"), tar.finish()).unwrap();
    bench
        .import(bench.path("linked.tar").to_str().unwrap(), None, &[])
        .unwrap();
}

#[test]
fn this_machines_image_is_chosen() {
    let bench = Bench::new();
    let source = bench.path("layout");
    fs::create_dir(&source).unwrap();
    let layer = |text: &str| [plain_layer(Tar::new().file(text, ""))];
    let other = put_image(&source, "s390x", &layer("other"));
    let ours = put_image(&source, platform::architecture(), &layer("ours"));
    let mut attestation = put_image(&source, "unknown", &layer("attestation"));
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    let index = put_index(&source, &[attestation, other.clone(), ours.clone()]);
    put_layout(&source, &[named(index.clone(), "localhost/multi:1")]);
    let imported = bench.import(source.to_str().unwrap(), None, &[]).unwrap();
    assert_eq!(json!(imported[0].digest), ours["digest"]);
    // The index's digest names it too.
    let by_index = format!("localhost/multi@{}", index["digest"].as_str().unwrap());
    assert_eq!(
        json!(bench.store.find(&reference(&by_index)).unwrap().manifest_digest),
        ours["digest"]
    );

    put_layout(
        &source,
        &[named(
            put_index(&source, std::slice::from_ref(&other)),
            "localhost/multi:2",
        )],
    );
    let error = bench.error(source.to_str().unwrap(), None);
    assert!(
        error.contains("linux/s390x") && error.contains(platform::architecture()),
        "{error}"
    );
    let mut unnamed = other;
    unnamed.as_object_mut().unwrap().remove("platform");
    put_layout(&source, &[named(unnamed, "localhost/multi:3")]);
    let error = bench.error(source.to_str().unwrap(), None);
    assert!(
        error.contains("the image is for linux/s390x, this machine is linux/"),
        "{error}"
    );

    // Several images, and a name that is only a tag.
    put_layout(&source, &[named(ours.clone(), "a/b:1"), named(ours.clone(), "1.27")]);
    assert!(
        bench
            .error(source.to_str().unwrap(), Some("x"))
            .contains("several images")
    );
    let chosen = format!("oci:{}:1.27", source.display());
    assert!(bench.error(&chosen, None).contains("--name"));
    bench.import(&chosen, Some("localhost/x:1.27"), &[]).unwrap();
    assert!(
        bench
            .error(&format!("{}:nothing", source.display()), None)
            .contains("there is no image 'nothing'")
    );
}

#[test]
fn a_directory_becomes_the_same_image_every_time() {
    let bench = Bench::new();
    let tree = bench.path("tree");
    fs::create_dir_all(tree.join("etc")).unwrap();
    fs::write(tree.join("etc/file"), "x").unwrap();
    fs::hard_link(tree.join("etc/file"), tree.join("etc/hard")).unwrap();
    fs::write(tree.join("n".repeat(255)), "long").unwrap();
    std::os::unix::fs::symlink("/".repeat(200), tree.join("link")).unwrap();
    rustix::fs::lsetxattr(
        tree.join("etc/file"),
        "user.note",
        b"n",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    std::os::unix::fs::chown(tree.join("etc/file"), Some(3_000_000_000), Some(1)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap());
    let changes = ["CMD [\"/bin/x\"]", "ENV A=1", "EXPOSE 80"];
    let first = bench.import(tree.to_str().unwrap(), Some(NAME), &changes).unwrap();
    assert_eq!(
        bench
            .import(&format!("dir:{}", tree.display()), Some(NAME), &changes)
            .unwrap(),
        first
    );
    bench.assert_clean(1, 3);
    let image = bench.store.find(&reference(NAME)).unwrap();
    assert_eq!(
        image.config.config().as_ref().unwrap().cmd().as_ref().unwrap(),
        &["/bin/x"]
    );
    let layer = bench.store.layer_path(&image.layers[0]);
    let compare = |name: &str| {
        let (a, b) = (
            fs::symlink_metadata(tree.join(name)).unwrap(),
            fs::symlink_metadata(layer.join(name)).unwrap(),
        );
        let key = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        assert_eq!(key(&a), key(&b), "{name}");
    };
    for name in ["", "etc", "etc/file", "etc/hard", "link", &"n".repeat(255)] {
        compare(name);
    }
    assert_eq!(xattr(&layer.join("etc/hard"), "user.note").unwrap(), b"n");
    assert_eq!(fs::metadata(layer.join("etc/file")).unwrap().nlink(), 2);
    assert_eq!(
        fs::read_link(layer.join("link")).unwrap(),
        fs::read_link(tree.join("link")).unwrap()
    );
    assert!(!layer.join("socket").exists());
    // The same tree as an archive of tar(1), compressed: the blob is kept as it is.
    let archive = bench.path("tree.tar.gz");
    assert!(
        Command::new("tar")
            .args(["-czf", archive.to_str().unwrap(), "-C", tree.to_str().unwrap(), "."])
            .status()
            .unwrap()
            .success()
    );
    bench
        .import(archive.to_str().unwrap(), Some("localhost/t:2"), &[])
        .unwrap();
    assert!(
        bench
            .store
            .blob_path(&Digest::of(&fs::read(&archive).unwrap()))
            .exists()
    );
    assert!(bench.error(tree.to_str().unwrap(), None).contains("--name"));
    assert!(
        bench
            .error(bench.temporary.path().to_str().unwrap(), Some("x"))
            .contains("the store itself")
    );
}

#[test]
fn what_is_missing_is_said() {
    let bench = Bench::new();
    let error = |text: &str| format!("{:#}", bench.store.find(&reference(text)).unwrap_err());
    let store = bench.store.root().display().to_string();
    let expected = format!(
        "image 'docker.io/library/nginx:1.27' is not in the store '{store}': import it with 'coracle image import'"
    );
    assert_eq!(error("nginx:1.27"), expected);
    let layer = bench.layer(Tar::new().file("x", ""));
    assert_eq!(error("nginx:1.27"), expected);
    fs::remove_dir_all(&layer).unwrap();
    assert!(
        error(NAME).contains("is missing: import the image again"),
        "{}",
        error(NAME)
    );
    fs::write(&layer, "").unwrap();
    assert!(error(NAME).contains("is not a directory"), "{}", error(NAME));
    for blob in fs::read_dir(bench.store.root().join("blobs/sha256")).unwrap() {
        fs::write(blob.unwrap().path(), "{}").unwrap();
    }
    assert!(
        error(NAME).contains("is corrupt: import the image again"),
        "{}",
        error(NAME)
    );
    fs::write(bench.store.root().join("index.json"), "x").unwrap();
    assert!(error(NAME).contains("index.json"), "{}", error(NAME));
}

#[test]
fn removal_spares_what_is_needed() {
    let bench = Bench::new();
    let (shared, one, two) = (
        plain_layer(Tar::new().file("s", "")),
        plain_layer(Tar::new().file("1", "")),
        plain_layer(Tar::new().file("2", "")),
    );
    for (name, own) in [("a", &one), ("b", &two)] {
        layout(
            &bench.path(name),
            &format!("localhost/{name}:1"),
            &[shared.clone(), own.clone()],
        );
        bench.import(bench.path(name).to_str().unwrap(), None, &[]).unwrap();
    }
    bench.assert_clean(3, 7);
    let a = bench.store.find(&reference("localhost/a:1")).unwrap();
    let held = bench.store.hold(&a).unwrap();
    let error = format!("{:#}", bench.store.remove(&a.reference, InUse::Refuse).unwrap_err());
    assert!(error.contains("in use by a running container"), "{error}");
    bench.assert_clean(3, 7);
    // By force only the name goes, as long as the container runs: an update may want to go back to it.
    bench.store.remove(&a.reference, InUse::Force).unwrap();
    assert!(bench.store.find(&a.reference).is_err());
    bench.assert_clean(3, 7);
    assert!(bench.store.find_manifest(&a.reference, &a.manifest_digest).is_ok());
    drop(held);
    bench.store.remove(&reference("localhost/b:1"), InUse::Refuse).unwrap();
    bench.assert_clean(0, 0);
    assert!(bench.store.remove(&a.reference, InUse::Refuse).is_err());
    assert!(bench.store.hold(&a).is_err());
}

#[test]
fn a_new_image_under_an_old_name_frees_the_old_one() {
    let bench = Bench::new();
    bench.layer(Tar::new().file("old", ""));
    bench.layer(Tar::new().file("new", ""));
    bench.import("/nonexistent", None, &[]).unwrap_err();
    bench.assert_clean(1, 3);
}

#[test]
fn an_old_image_stays_whole_for_its_containers_and_can_have_its_name_back() {
    let bench = Bench::new();
    let import = |change: &str| {
        fs::write(bench.path("input.tar"), Tar::new().file("same", "").finish()).unwrap();
        let source = format!("tar:{}", bench.path("input.tar").display());
        bench.import(&source, Some(NAME), &[change]).unwrap();
        bench.store.find(&reference(NAME)).unwrap()
    };
    // The same layer, so that only the manifests tell them apart.
    let old = import("CMD [\"old\"]");
    let held = bench.store.hold(&old).unwrap();
    let new = import("CMD [\"new\"]");
    assert_ne!(old.manifest_digest, new.manifest_digest);
    bench.import("/nonexistent", None, &[]).unwrap_err();
    bench.assert_clean(1, 5);
    assert!(!bench.store.is_refused(&old.reference, &new.manifest_digest).unwrap());
    let go_back = || {
        bench
            .store
            .go_back(&old.reference, &new.manifest_digest, &old.manifest_digest)
    };
    let Returned::Yes(refused) = go_back().unwrap() else {
        panic!("the name leads elsewhere");
    };
    assert_eq!(refused, format!("localhost/t@{}", new.manifest_digest));
    assert_eq!(
        bench.store.find(&reference(NAME)).unwrap().manifest_digest,
        old.manifest_digest
    );
    assert_eq!(
        bench.store.find(&reference(&refused)).unwrap().manifest_digest,
        new.manifest_digest
    );
    assert!(bench.store.is_refused(&old.reference, &new.manifest_digest).unwrap());
    // Somebody else has given the name away meanwhile.
    assert_eq!(go_back().unwrap(), Returned::Moved);
    // Imported again, it has its name again, and is still known as refused.
    import("CMD [\"new\"]");
    assert!(bench.store.is_refused(&old.reference, &new.manifest_digest).unwrap());
    assert_eq!(bench.store.list().unwrap().len(), 2);
    // What is gone cannot be gone back to.
    drop(held);
    let gone = Digest::of(b"gone");
    assert!(
        bench
            .store
            .go_back(&old.reference, &new.manifest_digest, &gone)
            .is_err()
    );
    bench.store.remove(&reference(&refused), InUse::Refuse).unwrap();
    bench.assert_clean(1, 3);
}

#[test]
fn imports_of_the_same_image_at_once() {
    let bench = Bench::new();
    let layers: Vec<Layer> = (0..6)
        .map(|n| gzip_layer(Tar::new().file("f", &n.to_string().repeat(50_000))))
        .collect();
    let reversed: Vec<Layer> = layers.iter().rev().cloned().collect();
    layout(&bench.path("a"), "localhost/a:1", &layers);
    layout(&bench.path("b"), "localhost/b:1", &reversed);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                bench
                    .import(bench.path(["a", "b"][n % 2]).to_str().unwrap(), None, &[])
                    .unwrap()
            });
        }
    });
    bench.assert_clean(6, 10);
    assert_eq!(bench.store.find(&reference("localhost/a:1")).unwrap().layers.len(), 6);
    assert_eq!(bench.store.list().unwrap().len(), 2);
}

/// Not a test of its own: what `a_killed_import_leaves_nothing` kills.
#[test]
fn child_that_imports() {
    let Ok(places) = std::env::var("CORACLE_TEST_IMPORT") else {
        return;
    };
    let (store, source) = places.split_once('|').unwrap();
    let store = Store::open(Path::new(store)).unwrap();
    store
        .import(&Request {
            location: Location::parse(source),
            name: None,
            changes: Vec::new(),
        })
        .unwrap();
}

#[test]
fn a_killed_import_leaves_nothing() {
    let bench = Bench::new();
    let many = |n: usize| {
        (0..150).fold(Tar::new(), |tar, file| {
            tar.file(&format!("{n}-{file}"), &"x".repeat(5000))
        })
    };
    let layers: Vec<Layer> = (0..4).map(|n| gzip_layer(many(n))).collect();
    layout(&bench.path("layout"), NAME, &layers);
    let source = bench.path("layout").display().to_string();
    let mut killed = 0;
    for round in 0..25_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_imports", "--nocapture"])
            .env(
                "CORACLE_TEST_IMPORT",
                format!("{}|{source}", bench.store.root().display()),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(2 + round * 7 % 120));
        child.kill().unwrap();
        if !child.wait().unwrap().success() {
            killed += 1;
        }
        // Either the image is there, and complete, or it is not.
        if let Ok(image) = bench.store.find(&reference(NAME)) {
            for (n, layer) in image.layers.iter().enumerate() {
                assert_eq!(
                    fs::read_dir(bench.store.layer_path(layer)).unwrap().count(),
                    150,
                    "layer {n}"
                );
            }
            bench.store.remove(&image.reference, InUse::Refuse).unwrap();
            bench.assert_clean(0, 0);
        }
    }
    assert!(killed > 5, "only {killed} were killed in time");
    bench.import(&source, None, &[]).unwrap();
    bench.assert_clean(4, 6);
}

/// Runs `coracle image …` on the store below `root`, and gives its exit status and what it prints.
fn coracle(root: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .arg("image")
        .args(arguments)
        .args(["--root", root.to_str().unwrap()])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_imports_lists_inspects_and_removes() {
    let bench = Bench::new();
    let (root, source) = (bench.path("root"), bench.path("layout"));
    fs::create_dir_all(root.join("etc/coracle")).unwrap();
    layout(&source, "docker.io/library/web:1", &three_layers());
    let source = source.to_str().unwrap();
    let done = |stdout: String| (Some(0), stdout, String::new());

    assert_eq!(coracle(&root, &["list"]), done(String::new()));
    let (status, imported, _) = coracle(&root, &["import", source]);
    let digest = imported
        .trim()
        .strip_prefix("docker.io/library/web:1 sha256:")
        .unwrap()
        .to_owned();
    assert_eq!((status, digest.len()), (Some(0), 64));
    assert_eq!(coracle(&root, &["import", source, "--name", "web:2"]).0, Some(0));
    let (_, list, _) = coracle(&root, &["list"]);
    let fields: Vec<&str> = list.lines().next().unwrap().split('\t').collect();
    assert_eq!(
        (fields[0], fields[1], fields[3]),
        ("docker.io/library/web:1", &digest[..12], "2026-01-02")
    );
    let (_, list, _) = coracle(&root, &["list", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[1]["reference"], "docker.io/library/web:2");
    let (_, inspected, _) = coracle(&root, &["inspect", "web:1"]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["config"]["config"]["Cmd"][0], "/bin/x");
    assert_eq!(inspected["layers"].as_array().unwrap().len(), 3);

    fs::write(root.join("etc/coracle/web.toml"), "[Container]\nImage = \"web:1\"\n").unwrap();
    let (status, removed, error) = coracle(&root, &["rm", "web:1", "web:2"]);
    assert_eq!((status, removed.as_str()), (Some(1), "docker.io/library/web:2\n"));
    assert!(
        error.contains("is named by '") && error.contains("etc/coracle/web.toml'"),
        "{error}"
    );
    assert_eq!(
        coracle(&root, &["rm", "--force", "web:1"]),
        done("docker.io/library/web:1\n".to_owned())
    );
    assert_eq!(fs::read_dir(root.join("var/lib/coracle/layers")).unwrap().count(), 0);
    for arguments in [
        &["rm", "web:1"][..],
        &["inspect", "web:1"],
        &["import", "/nonexistent"],
        &["inspect", "A B"],
    ] {
        let (status, output, error) = coracle(&root, arguments);
        assert_eq!(
            (status, output.as_str(), error.lines().count()),
            (Some(1), "", 1),
            "{error}"
        );
    }
    assert_eq!(coracle(&root, &["import"]).0, Some(2));
}

fn rich() -> Vec<u8> {
    Tar::new()
        .dir("./")
        .file("a", "content")
        .pax(&[("path", b"b/c"), ("SCHILY.xattr.user.x", b"y")])
        .file("x", "content")
        .symlink("s", "/a")
        .link("h", "a")
        .long_name("g/h")
        .file(".wh.z", "")
        .finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused_without_a_trace(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let bench = Bench::new();
        let before = bench.outside();
        fs::write(bench.path("sentinel/input"), &bytes).unwrap();
        let input = bench.path("sentinel/input").display().to_string();
        for transport in ["", "tar:", "oci-archive:", "docker-archive:"] {
            let refused = bench.import(&format!("{transport}{input}"), Some(NAME), &[]).is_err();
            // A first block of zeros is an archive without entries.
            assert!(refused || bytes.iter().take(512).all(|byte| *byte == 0));
        }
        fs::remove_file(bench.path("sentinel/input")).unwrap();
        assert_eq!(fs::read_dir(bench.store.root().join("staging")).unwrap().count(), 0);
        assert_eq!(bench.outside().len(), before.len());
    }

    #[test]
    fn damaged_archives_never_panic(at in 0..9000_usize, byte in any::<u8>(), fix in any::<bool>()) {
        let bench = Bench::new();
        let before = bench.outside().len();
        let mut bytes = rich();
        let at = at % bytes.len();
        bytes[at] = byte;
        if fix {
            // With a right checksum the damage gets further in.
            let block = at / 512 * 512;
            bytes[block + 148..block + 156].fill(b' ');
            let sum: u32 = bytes[block..block + 512].iter().map(|b| u32::from(*b)).sum();
            bytes[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = bench.import_tar(&bytes);
        assert_eq!(fs::read_dir(bench.store.root().join("staging")).unwrap().count(), 0);
        assert_eq!(bench.outside().len(), before);
    }
}
