//! One run of a container that is only looked at: it has nobody's data, leads nowhere, and ends with the process that looks.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cli::inside;
use crate::cli::output::visible;
use crate::cli::probe::bound::{self, Bound};
use crate::cli::run::InForeground;
use crate::cli::scope::Scope;
use crate::cli::units::Container;
use crate::definition::places::Loaded;
use crate::definition::{Activation, Listen, Notify, Socket};

/// A container that runs.
pub(super) struct Trial {
    container: InForeground,
    said: Arc<Mutex<VecDeque<u8>>>,
    scope: Scope,
    begun: Instant,
}

/// What was seen of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its sockets, once there were no new ones.
    pub(super) bound: Vec<Bound>,
    /// After which time the last of them listened.
    pub(super) after: Duration,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The program has accepted it, and it stays.
    Served,
    /// The program has closed it at once.
    Closed,
    /// Nobody has accepted it.
    Waits,
}

/// How long a program may go on without another socket before it is taken to have them all.
const SETTLED: Duration = Duration::from_millis(1500);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// How long systemd may take until it has started the container.
const STARTING: Duration = Duration::from_secs(10);

/// How long systemd may take until it listens.
const LISTENING: Duration = Duration::from_secs(5);

/// How much of what the program says last is kept.
const SAID_MAX: usize = 4096;

impl Trial {
    /// Starts what is defined so, with these sockets.
    ///
    /// # Errors
    /// It cannot be made, or does not start.
    pub(super) fn start(subject: &Loaded, listens: Vec<Listen>, activation: Activation, scope: &Scope) -> Result<Self> {
        let (output, error) = nix::unistd::pipe().context("making a pipe")?;
        let streams = [File::open("/dev/null")?.into(), error.try_clone()?, error];
        let mut subject = subject.clone();
        let definition = &mut subject.definition;
        definition.container.activation = Some(activation);
        definition.container.notify = Some(Notify::Started);
        definition.container.health = None;
        definition.sockets = Vec::from_iter((!listens.is_empty()).then(|| Socket {
            name: "probe".to_owned(),
            unit: String::new(),
            listen: listens,
            options: Vec::new(),
        }));
        let begun = Instant::now();
        let container = InForeground::start(&subject, scope, streams)?;
        Ok(Self {
            container,
            said: collect(output),
            scope: scope.clone(),
            begun,
        })
    }

    /// Looks until the program has no more to bind, for at most `patience`.
    ///
    /// # Errors
    /// It ends, or listens on nothing.
    pub(super) fn watch(&mut self, patience: Duration) -> Result<Seen> {
        let container = Container {
            name: self.container.unit.clone(),
            unit: self.container.unit.clone(),
        };
        let manager = self.scope.service_manager();
        let main = loop {
            match inside::main_process(manager, &container) {
                Ok(main) => break main,
                // systemd may know of its end sooner than we.
                Err(_) if self.container.ends_within(500) => return Err(self.ended()),
                Err(error) if self.begun.elapsed() > STARTING => return Err(error),
                // Its sockets come first.
                Err(_) => {}
            }
        };
        let group = inside::group(&main)?;
        let mut seen = Seen {
            bound: Vec::new(),
            after: Duration::ZERO,
        };
        loop {
            let now = self.begun.elapsed();
            let bound = bound::look(main.pid, &group);
            if bound.iter().any(|one| !seen.bound.contains(one)) {
                seen = Seen { bound, after: now };
            } else if !seen.bound.is_empty() && now > seen.after + SETTLED {
                return Ok(seen);
            }
            if self.container.ends_within(0) {
                return Err(self.ended());
            }
            ensure!(
                now < patience || !seen.bound.is_empty(),
                "the program has bound nothing within {} s{}",
                patience.as_secs(),
                self.last_words()
            );
            thread::sleep(PAUSE);
        }
    }

    /// Connects to a port of this host, and looks for `patience` at what comes of it.
    ///
    /// # Errors
    /// The port does not answer at all.
    pub(super) fn connect(&self, port: u16, patience: Duration) -> Result<Fate> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // systemd listens in its own time.
        let mut client = loop {
            match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused && self.begun.elapsed() < LISTENING => {
                    thread::sleep(PAUSE);
                }
                client => break client.with_context(|| format!("connecting to port {port}"))?,
            }
        };
        client.set_read_timeout(Some(Duration::from_millis(300)))?;
        let deadline = Instant::now() + patience;
        loop {
            let mut byte = [0];
            match client.read(&mut byte) {
                Ok(0) => return Ok(Fate::Closed),
                Ok(_) => return Ok(Fate::Served),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Ok(Fate::Closed),
            }
            if bound::is_accepted(port) {
                return Ok(Fate::Served);
            }
            if Instant::now() > deadline || self.container.ends_within(0) {
                return Ok(Fate::Waits);
            }
        }
    }

    fn ended(&self) -> anyhow::Error {
        // What it said last is still on its way.
        thread::sleep(Duration::from_millis(100));
        anyhow::anyhow!("the program ended by itself{}", self.last_words())
    }

    /// What the program has said last, as the end of a sentence.
    fn last_words(&self) -> String {
        let said: Vec<u8> = self
            .said
            .lock()
            .map(|said| said.iter().copied().collect())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().rev().take(5).rev();
        let shown: String = last.map(|line| format!("\n  {}", visible(line))).collect();
        match shown.as_str() {
            "" => " and has said nothing".to_owned(),
            shown => format!(", having said:{shown}"),
        }
    }
}

/// Reads all that comes, so that nobody waits for us, and keeps the end of it.
fn collect(from: OwnedFd) -> Arc<Mutex<VecDeque<u8>>> {
    let said = Arc::new(Mutex::new(VecDeque::new()));
    let kept = Arc::clone(&said);
    let mut from = File::from(from);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let Ok(mut kept) = kept.lock() else { return };
            kept.extend(buffer.iter().take(length));
            let surplus = kept.len().saturating_sub(SAID_MAX);
            kept.drain(..surplus);
        }
    });
    said
}

/// A port of this host's loopback that nobody listens on now.
///
/// # Errors
/// There is none.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    let port = listener.local_addr()?.port();
    if port == 0 {
        bail!("finding a free port: the kernel gave none");
    }
    Ok(port)
}
