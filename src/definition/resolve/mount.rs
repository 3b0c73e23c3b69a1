//! `Mount=`: Podman's long syntax for what `Volume=` and `Tmpfs=` say shortly (podman-run(1), "--mount").
//!
//! It is translated, word for word, into their options, so that each means the same however it was written.

use crate::definition::keys::{self, Key};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::{Tmpfs, Volume};

/// What one `Mount=` stands for.
pub(super) enum Mounted {
    /// `type=bind`.
    Bind(Volume),
    /// `type=tmpfs`.
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
        let options = fields.options.iter().map(String::as_str);
        let why = match (fields.kind.unwrap_or("volume"), fields.source, fields.target) {
            (_, _, None) => "there is no target=".to_owned(),
            ("bind", None, _) => "there is no source=".to_owned(),
            ("bind", Some(source), Some(target)) => {
                return self.bind(key, (source, target), options, span).map(Mounted::Bind);
            }
            ("tmpfs", Some(_), _) => "a tmpfs has no source=".to_owned(),
            ("tmpfs", None, Some(target)) => return self.memory(key, target, options, span).map(Mounted::Memory),
            ("volume" | "image" | "devpts" | "glob" | "artifact" | "ramfs", ..) => {
                "only type=bind and type=tmpfs are carried out so far".to_owned()
            }
            (kind, ..) => match keys::nearest_of(kind, ["bind", "tmpfs"]) {
                Some(near) => format!("unknown type '{kind}', did you mean '{near}'?"),
                None => format!("unknown type '{kind}', write type=bind or type=tmpfs"),
            },
        };
        self.impossible(key, span, why);
        None
    }
}

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
        "rw" => ("rw", Some("ro")),
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
        for text in ["type=bind,src=\"/a,b\"", "ro=maybe", "subpath=/x", "bind-nonrecursive"] {
            assert!(fields(text).is_err(), "{text}");
        }
    }
}
