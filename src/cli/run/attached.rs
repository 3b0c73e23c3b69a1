//! A container in the foreground: its streams, our signals, and its end, in one poll(2).
//!
//! What of our standard streams is no terminal is the container's own: nothing lies between, and nothing here reads it. A terminal is never
//! handed on, since who has it can change it, read what is typed after the container's end, and on old kernels type into it: it is copied,
//! through pipes or, with `--tty`, through a pseudo-terminal that the container makes, and of which it sends us one end.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::pipe2;

use crate::cli::run::request::{Given, Streams};
use crate::cli::run::terminal::{Raw, is_terminal};
use crate::run::terminal;
use crate::sys::socket;
use crate::sys::terminal::{resize, window_size};
use crate::systemd::Manager;
use crate::systemd::transient::{self, Outcome, Request, Until};

/// What the container's streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Mode {
    /// Ours, or pipes to our terminal.
    Streams,
    /// A pseudo-terminal that the container makes and sends us.
    Terminal,
}

/// What runs in the container.
pub(in crate::cli) trait Running: AsFd {
    /// What a signal to us means to it, of which there were `before` already. Its descriptor becomes readable when it has ended.
    fn signalled(&self, signal: i32, before: u32);
}

impl Running for transient::Running {
    fn signalled(&self, _signal: i32, before: u32) {
        match before {
            0 => self.stop(),
            // Whoever asks again does not want to wait for the command to end by itself.
            _ => self.kill(),
        }
    }
}

/// What a container in the foreground has of ours.
#[derive(Debug)]
pub(in crate::cli) struct Attached {
    given: Option<Streams>,
    channels: Vec<Channel>,
    /// Our end of the pseudo-terminal.
    terminal: Option<OwnedFd>,
    /// Where it comes from, until it has come.
    coming: Option<OwnedFd>,
    raw: Option<Raw>,
    signals: SignalFd,
    /// The other end of what the client's service reads; closed when we are gone.
    _lifeline: Option<OwnedFd>,
    lifeline: Option<OwnedFd>,
    stops: u32,
}

/// What is copied from one descriptor to another.
#[derive(Debug)]
struct Channel {
    from: File,
    /// `None` when it has ended.
    to: Option<File>,
    pending: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// From us to the container's pipe, whose end is told by closing it.
    Input,
    /// From us to the container's terminal, whose end is told by a key.
    Keys,
    /// From the container to us.
    Output,
}

/// What ends the input on a terminal: Ctrl-D.
const END_OF_INPUT: u8 = 4;

/// How long what is still on its way may take after the container has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Attached {
    /// Opens the streams, and takes in the signals that stop the container. Call it before any thread is started.
    pub(in crate::cli) fn open(mode: Mode) -> Result<Self> {
        let mut mask = SigSet::empty();
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGWINCH,
        ] {
            mask.add(signal);
        }
        mask.thread_block().context("blocking signals")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        let (read, write) = pipe2(OFlag::O_CLOEXEC).context("making a pipe")?;
        let mut attached = Self {
            given: None,
            channels: Vec::new(),
            terminal: None,
            coming: None,
            raw: None,
            signals: signals.context("creating a signalfd")?,
            lifeline: Some(read),
            _lifeline: Some(write),
            stops: 0,
        };
        attached.given = Some(match mode {
            Mode::Streams => {
                let streams = attached.open_streams();
                Streams::Separate(streams.context("opening the container's streams")?)
            }
            Mode::Terminal => {
                let (ours, theirs) = socket::pair().context("making a socket pair")?;
                attached.coming = Some(ours);
                let error = attached.open_output(io::stderr().as_fd());
                Streams::Terminal {
                    client: theirs,
                    size: window_size(io::stdin().as_fd()).or_else(|| window_size(io::stdout().as_fd())),
                    error: error.context("opening the container's streams")?,
                }
            }
        });
        Ok(attached)
    }

    /// What the container and the service that watches us are given, once.
    pub(in crate::cli) fn given(&mut self) -> Result<Given> {
        let streams = self.given.take().context("the streams are given away")?;
        let lifeline = self.lifeline.take().context("the streams are given away")?;
        Ok(Given { streams, lifeline })
    }

    /// Runs the container to its end.
    pub(in crate::cli) fn run(mut self, manager: Manager, request: Request) -> Result<Outcome> {
        let running = transient::Running::start(manager, request, Until::Ended)?;
        self.follow(&running)?;
        let outcome = running.finish();
        self.drain();
        outcome
    }

    /// Stands between `running` and our streams, until it has ended.
    pub(in crate::cli) fn follow(&mut self, running: &impl Running) -> Result<()> {
        while !self.step(running)? {}
        Ok(())
    }

    fn open_streams(&mut self) -> io::Result<[OwnedFd; 3]> {
        let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
        let input = match is_terminal(input.as_fd()) {
            false => input.as_fd().try_clone_to_owned()?,
            true => {
                let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
                self.copy(input.as_fd().try_clone_to_owned()?, write, Kind::Input)?;
                read
            }
        };
        Ok([
            input,
            self.open_output(output.as_fd())?,
            self.open_output(error.as_fd())?,
        ])
    }

    fn open_output(&mut self, ours: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let ours_too = ours.try_clone_to_owned()?;
        if !is_terminal(ours) {
            return Ok(ours_too);
        }
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        self.copy(read, ours_too, Kind::Output)?;
        Ok(write)
    }

    /// Shows the container's terminal on ours.
    fn show(&mut self, terminal: OwnedFd) -> io::Result<()> {
        let (input, output) = (io::stdin(), io::stdout());
        self.copy(input.as_fd().try_clone_to_owned()?, terminal.try_clone()?, Kind::Keys)?;
        self.copy(
            terminal.try_clone()?,
            output.as_fd().try_clone_to_owned()?,
            Kind::Output,
        )?;
        self.terminal = Some(terminal);
        Ok(())
    }

    /// Takes the terminal that the container has made.
    fn take_terminal(&mut self) -> Result<()> {
        let Some(socket) = self.coming.take() else {
            return Ok(());
        };
        if let Some(terminal) = terminal::receive(socket.as_fd()).context("taking the terminal")? {
            self.show(terminal).context("taking the terminal")?;
            self.raw = Raw::enter()?;
            self.pass_size_on();
        }
        Ok(())
    }

    /// Our ends of pipes and pseudo-terminals never block; our own terminal may, but is only used when poll(2) says that it will not.
    fn copy(&mut self, from: OwnedFd, to: OwnedFd, kind: Kind) -> io::Result<()> {
        let container_side = if kind == Kind::Output { &from } else { &to };
        let flags = OFlag::from_bits_retain(fcntl(container_side, FcntlArg::F_GETFL)?);
        fcntl(container_side, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        self.channels.push(Channel {
            from: from.into(),
            to: Some(to.into()),
            pending: Vec::new(),
            kind,
        });
        Ok(())
    }

    /// Waits for something to happen, and does what follows. True when the container has ended.
    fn step(&mut self, running: &impl Running) -> Result<bool> {
        let (signalled, ended, came, ready) = {
            let mut polled = vec![
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(running.as_fd(), PollFlags::POLLIN),
            ];
            let coming = self.coming.as_ref();
            polled.extend(coming.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
            let others = polled.len();
            let live: Vec<_> = self.live().collect();
            polled.extend(live.iter().map(|index| self.channels[*index].wanted()));
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("waiting"),
            }
            let happened: Vec<bool> = polled
                .iter()
                .map(|one| one.revents().is_some_and(|events| !events.is_empty()))
                .collect();
            let ready = live
                .into_iter()
                .zip(&happened[others..])
                .filter(|(_, happened)| **happened)
                .map(|(index, _)| index);
            let came = self.coming.is_some() && happened[2];
            (happened[0], happened[1], came, ready.collect::<Vec<_>>())
        };
        if came {
            self.take_terminal()?;
        }
        if signalled {
            self.take_signals(running);
        }
        for index in ready {
            self.channels[index].move_on();
        }
        Ok(ended)
    }

    fn live(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.channels.len()).filter(|index| self.channels[*index].to.is_some())
    }

    fn take_signals(&mut self, running: &impl Running) {
        while let Ok(Some(information)) = self.signals.read_signal() {
            match information.ssi_signo.cast_signed() {
                libc::SIGWINCH => self.pass_size_on(),
                signal => {
                    running.signalled(signal, self.stops);
                    self.stops += 1;
                }
            }
        }
    }

    fn pass_size_on(&self) {
        let size = window_size(io::stdin().as_fd()).or_else(|| window_size(io::stdout().as_fd()));
        if let (Some(terminal), Some(size)) = (&self.terminal, size) {
            // The container has closed its terminal: then nobody needs to know.
            let _ = resize(terminal, size);
        }
    }

    /// Copies what the container has still said, until it can say no more.
    pub(in crate::cli) fn drain(&mut self) {
        // What came at the very end.
        let _ = self.take_terminal();
        let end = Instant::now() + LAST_WORDS;
        self.channels.retain(|channel| channel.kind == Kind::Output);
        loop {
            let Some(index) = self.live().next() else { return };
            let Some(rest) = end.checked_duration_since(Instant::now()) else {
                return;
            };
            let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::ZERO);
            let channel = &mut self.channels[index];
            match poll(&mut [channel.wanted()], timeout) {
                Ok(0) => return,
                Ok(_) => channel.move_on(),
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl Channel {
    /// What it waits for.
    fn wanted(&self) -> PollFd<'_> {
        match &self.to {
            Some(to) if !self.pending.is_empty() => PollFd::new(to.as_fd(), PollFlags::POLLOUT),
            _ => PollFd::new(self.from.as_fd(), PollFlags::POLLIN),
        }
    }

    /// Reads or writes once. An end that is gone ends it, and what was not taken is lost, as with any pipe.
    fn move_on(&mut self) {
        let Some(to) = &mut self.to else { return };
        if self.pending.is_empty() {
            let mut buffer = [0; 16 * 1024];
            match self.from.read(&mut buffer) {
                Ok(0) if self.kind == Kind::Keys => {
                    let _ = to.write(&[END_OF_INPUT]);
                    self.to = None;
                }
                Ok(0) => self.to = None,
                Ok(length) => self.pending.extend_from_slice(&buffer[..length.min(buffer.len())]),
                Err(error) if is_for_later(&error) => {}
                // EIO: no program has the other end of the pseudo-terminal any more.
                Err(_) => self.to = None,
            }
            return;
        }
        match to.write(&self.pending) {
            Ok(length) => drop(self.pending.drain(..length.min(self.pending.len()))),
            Err(error) if is_for_later(&error) => {}
            Err(_) => {
                self.pending.clear();
                // Output that nobody takes is read on, so that the container does not stand still because of it.
                if self.kind != Kind::Output {
                    self.to = None;
                }
            }
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
