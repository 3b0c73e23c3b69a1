//! `Mount=`: Podman's long syntax for what `Volume=` and `Tmpfs=` say shortly, and for images (podman-run(1), "--mount").
//!
//! It is translated, word for word, into their options, so that each means the same however it was written.

use crate::definition::Tmpfs;
use crate::definition::keys::{self, Key};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::volume::{Copying, Source, Volume};
use crate::image::reference::Reference;

/// What one `Mount=` stands for.
pub(super) enum Mounted {
    /// `type=bind`, `type=volume` and `type=image`.
    Volume(Box<Volume>),
    /// `type=tmpfs`, `type=ramfs` and `type=devpts`.
    Memory(Tmpfs),
}

/// The fields of a text, translated.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields<'t> {
    kind: Option<&'t str>,
    source: Option<&'t str>,
    target: Option<&'t str>,
    options: Vec<String>,
}

impl Resolver<'_, '_> {
    /// One `type=TYPE,source=PATH,target=PATH,…`.
    pub(super) fn mount(&mut self, key: &Key, text: &str, span: Span) -> Option<Mounted> {
        let fields = match fields(text) {
            Ok(fields) => fields,
            Err(why) => {
                self.impossible(key, span, why);
                return None;
            }
        };
        let mut options: Vec<&str> = fields.options.iter().map(String::as_str).collect();
        let kind = fields.kind.unwrap_or("volume");
        let why = match (kind, fields.source, fields.target) {
            ("glob", ..) => {
                "type=glob is not carried out: which files there are would be known only at the start; mount their directory"
                    .to_owned()
            }
            ("artifact", ..) => "type=artifact is not carried out yet".to_owned(),
            (_, _, None) => "there is no target=".to_owned(),
            ("bind", None, _) => "there is no source=".to_owned(),
            ("bind", Some(source), Some(target)) => match self.source(key, source, span)? {
                source @ Source::Path(_) => return self.mount_volume(key, (source, target), &options, span),
                _ => format!("'{source}' is no path of the host, write it from '/' on, or type=volume"),
            },
            ("volume", None, Some(target)) => {
                return self.mount_volume(key, (Source::Anonymous(Copying::Copy), target), &options, span);
            }
            ("volume", Some(source), Some(target)) => match self.source(key, source, span)? {
                Source::Path(_) => format!("'{source}' is a path of the host, write type=bind"),
                source => return self.mount_volume(key, (source, target), &options, span),
            },
            ("image", None, _) => "there is no source=".to_owned(),
            ("image", Some(source), Some(target)) => match source.parse::<Reference>() {
                Err(mistake) => mistake.to_string(),
                Ok(_) => {
                    let writable = options.contains(&"rw");
                    if !writable {
                        options.push("ro");
                    }
                    let source = Source::Image {
                        reference: source.to_owned(),
                        writable,
                    };
                    return self.mount_volume(key, (source, target), &options, span);
                }
            },
            ("tmpfs" | "ramfs" | "devpts", Some(_), _) => format!("a {kind} has no source="),
            ("tmpfs", None, Some(target)) => return self.memory(key, target, options, span).map(Mounted::Memory),
            ("ramfs", None, Some(target)) => return self.ramfs(key, target, options, span).map(Mounted::Memory),
            ("devpts", None, Some(target)) => return self.terminals(key, target, options, span).map(Mounted::Memory),
            (kind, ..) => match keys::nearest_of(kind, KINDS) {
                Some(near) => format!("unknown type '{kind}', did you mean '{near}'?"),
                None => format!("unknown type '{kind}', write one of: {}", KINDS.join(", ")),
            },
        };
        self.impossible(key, span, why);
        None
    }

    fn mount_volume(
        &mut self,
        key: &Key,
        (source, target): (Source, &str),
        options: &[&str],
        span: Span,
    ) -> Option<Mounted> {
        let volume = self.mounted(key, (source, target), options.iter().copied(), span)?;
        Some(Mounted::Volume(Box::new(volume)))
    }
}

/// What `type=` can be.
const KINDS: [&str; 6] = ["bind", "volume", "image", "tmpfs", "ramfs", "devpts"];

fn fields(text: &str) -> Result<Fields<'_>, String> {
    let mut fields = Fields::default();
    if text.contains('"') {
        return Err("quotes are not carried out yet, use Volume or Tmpfs for such paths".to_owned());
    }
    for field in text.split(',') {
        let (name, value) = match field.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (field, None),
        };
        match (name, value) {
            ("type", Some(kind)) => fields.kind = Some(kind),
            ("source" | "src", Some(source)) => fields.source = Some(source),
            ("target" | "dst" | "destination" | "dest", Some(target)) => fields.target = Some(target),
            ("bind-propagation", Some(propagation)) => fields.options.push(propagation.to_owned()),
            ("relabel", Some("shared")) => fields.options.push("z".to_owned()),
            ("relabel", Some("private")) => fields.options.push("Z".to_owned()),
            ("tmpfs-size" | "size", Some(size)) => fields.options.push(format!("size={size}")),
            ("subpath" | "volume-subpath" | "image-subpath", Some(path)) => {
                fields.options.push(format!("subpath={path}"));
            }
            ("uid" | "gid" | "max", Some(_)) => fields.options.push(field.to_owned()),
            ("tmpfs-mode" | "mode", Some(mode)) => fields.options.push(format!("mode={mode}")),
            _ => fields.options.extend(switch(field, name, value)?),
        }
    }
    Ok(fields)
}

/// An option that is on or off: what it is called in the short syntax, if it is on.
fn switch(field: &str, name: &str, value: Option<&str>) -> Result<Option<String>, String> {
    let is_on = match value {
        None | Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(_) => return Err(format!("'{field}' is not known or not carried out yet")),
    };
    let (on, off) = match name {
        "ro" | "readonly" => ("ro", Some("rw")),
        "rw" | "readwrite" => ("rw", Some("ro")),
        "nocopy" | "volume-nocopy" => ("nocopy", Some("copy")),
        "exec" => ("exec", Some("noexec")),
        "noexec" => ("noexec", Some("exec")),
        "U" | "chown" => ("U", None),
        "idmap" => ("idmap", Some("noidmap")),
        "noidmap" | "nosuid" | "nodev" | "suid" | "dev" | "z" | "Z" | "notmpcopyup" | "tmpcopyup" => (name, None),
        "" => return Ok(None),
        _ => return Err(format!("'{field}' is not known or not carried out yet")),
    };
    Ok(if is_on { Some(on) } else { off }.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn the_long_syntax_is_translated() {
        let read =
            fields("type=bind,src=/a,destination=/b,ro=true,bind-propagation=rslave,exec=false,U=false").unwrap();
        assert_eq!(
            (read.kind, read.source, read.target),
            (Some("bind"), Some("/a"), Some("/b"))
        );
        assert_eq!(read.options, ["ro", "rslave", "noexec"]);
        let read = fields("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700,readonly").unwrap();
        assert_eq!(read.options, ["size=1m", "mode=0700", "ro"]);
        for text in ["type=bind,src=\"/a,b\"", "ro=maybe", "bind-nonrecursive"] {
            assert!(fields(text).is_err(), "{text}");
        }
    }
}
