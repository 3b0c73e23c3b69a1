//! `Secret=`: which credentials the program gets, and how.

use std::path::PathBuf;

use crate::definition::keys::{self, Key};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::secret::{self, DIRECTORY, Form, Secret};

/// The options as they were written.
#[derive(Default)]
struct Options<'t> {
    kind: Option<&'t str>,
    target: Option<&'t str>,
    user: Option<u32>,
    group: Option<u32>,
    mode: Option<u32>,
}

impl Resolver<'_, '_> {
    /// One `NAME[,OPTION=VALUE]…`.
    pub(super) fn secret(&mut self, key: &Key, text: &str, span: Span) -> Option<Secret> {
        match read(text) {
            Ok(secret) => Some(secret),
            Err(why) => {
                self.impossible(key, span, why);
                None
            }
        }
    }
}

fn read(text: &str) -> Result<Secret, String> {
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    if !secret::is_name(name) {
        return Err(format!(
            "'{name}' cannot be a secret's name, which is made of letters, digits and '_', '.', '-'"
        ));
    }
    let options = options(rest)?;
    let form = match options.kind.unwrap_or("mount") {
        "mount" => Form::File {
            target: target(name, options.target)?,
            user: options.user,
            group: options.group,
            mode: options.mode.unwrap_or(0o400),
        },
        "env" if options.user.is_some() || options.group.is_some() || options.mode.is_some() => {
            return Err("a variable has no owner and no mode, leave 'uid', 'gid' and 'mode' out".to_owned());
        }
        "env" => Form::Variable(variable(options.target.unwrap_or(name))?),
        other => {
            return Err(format!(
                "the type cannot be '{other}', write 'type=mount' or 'type=env'"
            ));
        }
    };
    Ok(Secret {
        name: name.to_owned(),
        form,
    })
}

fn options(text: &str) -> Result<Options<'_>, String> {
    let mut options = Options::default();
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| format!("option '{option}' has no '='"))?;
        match name {
            "type" => options.kind = Some(value),
            "target" => options.target = Some(value),
            "uid" => options.user = Some(id(name, value)?),
            "gid" => options.group = Some(id(name, value)?),
            "mode" => {
                let is_octal = !value.is_empty() && value.len() <= 4 && value.bytes().all(|b| b.is_ascii_digit());
                let mode = u32::from_str_radix(value, 8)
                    .ok()
                    .filter(|mode| is_octal && *mode <= 0o777);
                options.mode =
                    Some(mode.ok_or_else(|| format!("'{value}' is no mode, write for example 'mode=0440'"))?);
            }
            _ => {
                let known = ["type", "target", "uid", "gid", "mode"];
                let near = keys::nearest_of(name, known).map(|near| format!(", did you mean '{near}'?"));
                return Err(format!("unknown option '{name}'{}", near.unwrap_or_default()));
            }
        }
    }
    Ok(options)
}

fn id(name: &str, value: &str) -> Result<u32, String> {
    let number = value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok());
    let number = number.flatten().filter(|id| *id != u32::MAX);
    number.ok_or_else(|| format!("'{value}' is no number of a user or a group, write for example '{name}=1000'"))
}

/// A file of that name in the directory of secrets, or an absolute path.
fn target(name: &str, target: Option<&str>) -> Result<PathBuf, String> {
    let target = target.unwrap_or(name);
    let path = if target.starts_with('/') {
        PathBuf::from(target)
    } else {
        [DIRECTORY, target].iter().collect()
    };
    let is_plain = |part: std::path::Component<'_>| {
        !matches!(part, std::path::Component::ParentDir | std::path::Component::CurDir)
    };
    let is_closed = path.starts_with("/proc") || path.starts_with("/sys");
    if target.is_empty() || is_closed || !path.components().all(is_plain) || path.components().count() < 2 {
        return Err(format!("a secret cannot be at '{target}'"));
    }
    Ok(path.components().collect())
}

fn variable(name: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins_well && name.bytes().all(is_plain) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "'{name}' cannot be a variable's name, write one with 'target='"
    ))
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::definition::secret::Form;

    #[test]
    fn options_are_read() {
        let file = |text: &str| match read(text).map(|secret| secret.form) {
            Ok(Form::File {
                target,
                user,
                group,
                mode,
            }) => format!("{} {user:?} {group:?} {mode:o}", target.display()),
            other => format!("{other:?}"),
        };
        assert_eq!(file("db"), "/run/secrets/db None None 400");
        assert_eq!(
            file("db,uid=1000,gid=7,mode=0440,target=/etc/db.key"),
            "/etc/db.key Some(1000) Some(7) 440"
        );
        assert_eq!(file("db,target=x/y"), "/run/secrets/x/y None None 400");
        assert_eq!(
            read("db,type=env,target=PASSWORD").map(|secret| secret.form),
            Ok(Form::Variable("PASSWORD".to_owned()))
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("", "cannot be a secret's name"),
            ("../x", "cannot be a secret's name"),
            ("a b", "cannot be a secret's name"),
            ("x,type=volume", "the type cannot be"),
            ("x,mode=999", "no mode"),
            ("x,mode=4755", "no mode"),
            ("x,uid=-1", "no number"),
            ("x,uid=4294967295", "no number"),
            ("x,target=../../etc/x", "cannot be at"),
            ("x,target=/proc/self/attr", "cannot be at"),
            ("x-y,type=env", "cannot be a variable's name"),
            ("x,type=env,mode=0400", "no owner"),
            ("x,tpye=env", "did you mean 'type'?"),
            ("x,y", "has no '='"),
        ] {
            let why = read(text).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
