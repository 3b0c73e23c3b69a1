//! What an image made from a bare file system is told to run: Dockerfile instructions, as `docker import --change` takes them.
//!
//! Pure: text in, the `config` object of an image configuration (image-spec config.md) out, the same bytes for the same text.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

/// The part of an image configuration that says how to run it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Empty {}

impl Execution {
    /// Reads instructions such as `CMD ["nginx"]` or `ENV A=b`, in their order.
    pub fn from_changes(changes: &[String]) -> Result<Self> {
        let mut execution = Self::default();
        for change in changes {
            execution
                .apply(change.trim())
                .with_context(|| format!("reading the change '{change}'"))?;
        }
        Ok(execution)
    }

    fn apply(&mut self, change: &str) -> Result<()> {
        ensure!(!change.contains(['\n', '\0']), "an instruction is one line");
        // Podman writes 'CMD=…' too.
        let (word, value) = change
            .split_once(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or((change, ""));
        let value = value.trim();
        ensure!(
            !value.is_empty(),
            "expected INSTRUCTION VALUE, such as 'CMD [\"nginx\"]'"
        );
        match word.to_ascii_uppercase().as_str() {
            "CMD" => self.cmd = Some(command(value)?),
            "ENTRYPOINT" => self.entrypoint = Some(command(value)?),
            "USER" => self.user = Some(value.to_owned()),
            "STOPSIGNAL" => self.stop_signal = Some(value.to_owned()),
            "WORKDIR" => {
                ensure!(value.starts_with('/'), "'{value}' is not an absolute path");
                self.working_dir = Some(value.to_owned());
            }
            "ENV" => {
                for (name, value) in pairs(value)? {
                    let prefix = format!("{name}=");
                    self.env.retain(|known| !known.starts_with(&prefix));
                    self.env.push(prefix + &value);
                }
            }
            "LABEL" => self.labels.extend(pairs(value)?),
            "EXPOSE" => {
                for port in words(value)? {
                    self.exposed_ports.insert(exposed(&port)?, Empty {});
                }
            }
            "VOLUME" => {
                let paths = if value.starts_with('[') {
                    array(value)?
                } else {
                    words(value)?
                };
                for path in paths {
                    ensure!(path.starts_with('/'), "'{path}' is not an absolute path");
                    self.volumes.insert(path, Empty {});
                }
            }
            _ => bail!(
                "unknown instruction '{word}': expected CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR"
            ),
        }
        Ok(())
    }
}

/// An array is taken as it is, anything else is a line for the shell.
fn command(value: &str) -> Result<Vec<String>> {
    if value.starts_with('[') {
        return array(value);
    }
    Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), value.to_owned()])
}

fn array(value: &str) -> Result<Vec<String>> {
    serde_json::from_str(value).context("expected an array of strings, such as [\"nginx\", \"-g\", \"daemon off;\"]")
}

/// `A=b C="d e"`, or one `A value with spaces`.
fn pairs(value: &str) -> Result<Vec<(String, String)>> {
    let words = words(value)?;
    let first = words.first().context("expected NAME=VALUE")?;
    if !first.contains('=') {
        let (name, value) = value.split_once(char::is_whitespace).context("expected NAME=VALUE")?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let split = |word: &String| -> Result<(String, String)> {
        let (name, value) = word
            .split_once('=')
            .with_context(|| format!("'{word}' is not NAME=VALUE"))?;
        ensure!(!name.is_empty(), "'{word}' has no name");
        Ok((name.to_owned(), value.to_owned()))
    };
    words.iter().map(split).collect()
}

/// Splits at white space that is neither quoted nor behind a backslash.
fn words(value: &str) -> Result<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', None | Some('"')) => {
                let next = characters.next().context("a backslash at the end")?;
                word.get_or_insert_default().push(next);
            }
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    ensure!(quote.is_none(), "a quote is not closed");
    words.extend(word);
    Ok(words)
}

fn exposed(port: &str) -> Result<String> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let is_known = ["tcp", "udp", "sctp"].contains(&protocol.as_str());
    match number.parse::<u16>() {
        Ok(number @ 1..) if is_known => Ok(format!("{number}/{protocol}")),
        _ => bail!("'{port}' is not a port: expected NUMBER, NUMBER/tcp or NUMBER/udp"),
    }
}

#[cfg(test)]
mod tests {
    use super::Execution;

    fn json(changes: &[&str]) -> String {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        match Execution::from_changes(&changes) {
            Ok(execution) => serde_json::to_string(&execution).unwrap(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn instructions_are_carried_out() {
        assert_eq!(json(&[]), "{}");
        assert_eq!(
            json(&["CMD [\"a\", \"b c\"]", "entrypoint /x  y"]),
            r#"{"Entrypoint":["/bin/sh","-c","/x  y"],"Cmd":["a","b c"]}"#
        );
        assert_eq!(
            json(&["ENV A=1 B=\"x y\"", "ENV A=2", "ENV C d e"]),
            r#"{"Env":["B=x y","A=2","C=d e"]}"#
        );
        assert_eq!(
            json(&[
                "USER 1:2",
                "WORKDIR /srv",
                "EXPOSE 80 53/UDP",
                "VOLUME /b /a",
                "LABEL b=1 a=2",
                "STOPSIGNAL SIGQUIT"
            ]),
            r#"{"User":"1:2","ExposedPorts":{"53/udp":{},"80/tcp":{}},"Volumes":{"/a":{},"/b":{}},"WorkingDir":"/srv","Labels":{"a":"2","b":"1"},"StopSignal":"SIGQUIT"}"#
        );
        assert_eq!(json(&["CMD=[\"a\"]", "ENV=A=1"]), r#"{"Env":["A=1"],"Cmd":["a"]}"#);
    }

    #[test]
    fn mistakes_are_named() {
        for (change, part) in [
            ("RUN x", "unknown instruction 'RUN'"),
            ("CMD", "expected INSTRUCTION VALUE"),
            ("CMD [a]", "array of strings"),
            ("WORKDIR srv", "not an absolute path"),
            ("EXPOSE 0", "not a port"),
            ("EXPOSE 80/x", "not a port"),
            ("ENV \"A=1", "not closed"),
            ("ENV A", "NAME=VALUE"),
        ] {
            assert!(json(&[change]).contains(part), "{}", json(&[change]));
        }
    }
}
