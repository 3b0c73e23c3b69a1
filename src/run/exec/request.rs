//! What `coracle exec` asks of the shim, as words of its command line.
//!
//! ```text
//! coracle-shim --exec UNIT RESOLVED.json INIT CGROUP UMASK [--detach] [--terminal ROWSxCOLUMNS] [--user U] [--directory D]
//!     [--set NAME=VALUE]... -- COMMAND...
//! ```

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use nix::pty::Winsize;
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::run::terminal::{format_size, parse_size};

/// A program to be run in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The container's service.
    pub unit: String,
    /// Its resolved definition.
    pub resolved: PathBuf,
    /// Its init.
    pub init: Pid,
    /// The directory of its control group.
    pub group: PathBuf,
    /// Its umask.
    pub mask: Mode,
    /// Whether somebody waits for it.
    pub client: Client,
    /// The size of the terminal that it gets; its client's socket is standard input then.
    pub terminal: Option<Winsize>,
    /// `USER[:GROUP]`, where not the payload's.
    pub user: Option<String>,
    /// Where it starts, if not where the payload does.
    pub directory: Option<String>,
    /// Set besides the payload's environment.
    pub environment: Vec<(String, String)>,
    /// The program and its arguments.
    pub command: Vec<String>,
}

/// Whether somebody waits for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// And it ends with that one.
    Waits,
    /// It goes on by itself.
    Leaves,
}

impl Request {
    /// Reads the words behind `--exec`.
    ///
    /// # Errors
    /// They do not ask for anything sensible.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut words = words.iter().copied();
        let mut next = || words.next().context("there are words missing");
        let mut request = Self {
            unit: next()?.to_owned(),
            resolved: next()?.into(),
            init: Pid::from_raw(
                next()?
                    .parse()
                    .ok()
                    .filter(|pid| *pid > 1)
                    .context("there is no init")?,
            ),
            group: next()?.into(),
            mask: Mode::from_bits_truncate(libc::mode_t::from_str_radix(next()?, 8).context("there is no umask")?),
            client: Client::Waits,
            terminal: None,
            user: None,
            directory: None,
            environment: Vec::new(),
            command: Vec::new(),
        };
        loop {
            match next()? {
                "--" => break,
                "--detach" => request.client = Client::Leaves,
                "--terminal" => request.terminal = Some(parse_size(next()?)?),
                "--user" => request.user = Some(next()?.to_owned()),
                "--directory" => request.directory = Some(next()?.to_owned()),
                "--set" => {
                    let variable = next()?.split_once('=').filter(|(name, _)| !name.is_empty());
                    let (name, value) = variable.context("a variable needs a name")?;
                    request.environment.push((name.to_owned(), value.to_owned()));
                }
                other => bail!("'{other}' is not known"),
            }
        }
        request.command = words.map(str::to_owned).collect();
        ensure!(!request.command.is_empty(), "there is no program to run");
        Ok(request)
    }

    /// The words that [`Self::parse`] reads.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![
            self.unit.clone(),
            self.resolved.to_string_lossy().into_owned(),
            self.init.to_string(),
            self.group.to_string_lossy().into_owned(),
            format!("{:o}", self.mask.bits()),
        ];
        if self.client == Client::Leaves {
            words.push("--detach".to_owned());
        }
        let size = self.terminal.map(|size| format_size(Some(size)));
        let options = [
            ("--terminal", size.as_ref()),
            ("--user", self.user.as_ref()),
            ("--directory", self.directory.as_ref()),
        ];
        for (option, value) in options {
            words.extend(value.into_iter().flat_map(|value| [option.to_owned(), value.clone()]));
        }
        for (name, value) in &self.environment {
            words.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        words.push("--".to_owned());
        words.extend(self.command.iter().cloned());
        words
    }

    /// Whether nobody waits for the program.
    #[must_use]
    pub fn detached(&self) -> bool {
        self.client == Client::Leaves
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Request};

    fn parse(text: &str) -> anyhow::Result<Request> {
        Request::parse(&text.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn words_are_read_as_they_were_written() {
        let words = "web.service /run/web.json 42 /sys/fs/cgroup/web.service 22 --detach --terminal 24x80 --user app:1 \
                     --directory /srv --set A=b=c --set D= -- sh -c --detach";
        let request = parse(words).expect("a request");
        assert_eq!(request.words().join(" "), words);
        assert_eq!((request.client, request.command.len()), (Client::Leaves, 3));
        assert_eq!(request.environment[0], ("A".to_owned(), "b=c".to_owned()));
    }

    #[test]
    fn nothing_else_is_a_request() {
        for words in [
            "",
            "u r 42 g 22 --",
            "u r 42 g 22",
            "u r 1 g 22 -- x",
            "u r x g 22 -- x",
            "u r 42 g 9 -- x",
            "u r 42 g 22 --other -- x",
            "u r 42 g 22 --set =x -- x",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
