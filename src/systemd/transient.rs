//! Starts a unit that has no file, and learns how it ends (`StartTransientUnit()`, org.freedesktop.systemd1(5)).
//!
//! The talk with systemd has a thread of its own, so that its user can be at work with descriptors meanwhile; [`Running`] becomes readable
//! when the unit has ended. The connection holds a reference to the unit (`AddRef`), so that systemd does not forget how it ended before
//! that was read. What systemd says in its signals is only a reason to look again: what counts is what it answers then.

use std::future::poll_fn;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use futures_core::Stream;
use nix::fcntl::OFlag;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, Message, MessageStream, ObjectPath, OwnedObjectPath, Variant};

use crate::systemd::property::Property;
use crate::systemd::proxies::{ManagerProxy, ServiceProxy, UnitProxy};
use crate::systemd::{Manager, connect, runtime};

/// A unit to be made and started.
#[derive(Debug)]
pub struct Request {
    /// The service's full name.
    pub unit: String,
    /// What it is made of.
    pub properties: Vec<Property>,
    /// Units that it needs and that are made with it.
    pub auxiliary: Vec<(String, Vec<Property>)>,
}

/// Up to when a unit is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It has started, or cannot.
    Started,
    /// It has ended.
    Ended,
}

/// How far a unit has come, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The start job's result: `done`, `failed`, `canceled`, `timeout`, `dependency` …
    pub job: String,
    /// `Result` of the service.
    pub result: String,
    /// `ExecMainCode`: `CLD_EXITED`, `CLD_KILLED` or `CLD_DUMPED`.
    pub code: i32,
    /// The exit status, or the signal.
    pub status: i32,
    /// What the service said of itself last.
    pub status_text: String,
}

/// A unit that has been asked for.
#[derive(Debug)]
pub struct Running {
    commands: UnboundedSender<Command>,
    ended: OwnedFd,
    thread: JoinHandle<Result<Outcome>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Stop,
    Kill,
}

impl Running {
    /// Makes the unit. Returns when systemd has taken it, with all descriptors in it, or has refused it.
    ///
    /// # Errors
    /// systemd cannot be reached, or refuses the unit.
    pub fn start(manager: Manager, request: Request, until: Until) -> Result<Self> {
        let (ended, end) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context("making a pipe")?;
        let (commands, received) = unbounded_channel();
        let (taken, answer) = mpsc::channel();
        let talk = move || {
            let outcome = runtime()?.block_on(talk(manager, request, until, received, &taken));
            // Closed when this ends, however it ends.
            drop((taken, end));
            outcome
        };
        let thread = thread::Builder::new()
            .name("systemd".to_owned())
            .spawn(talk)
            .context("starting a thread")?;
        match answer.recv() {
            Ok(()) => Ok(Self {
                commands,
                ended,
                thread,
            }),
            Err(_) => match finish(thread) {
                Ok(_) => bail!("systemd gave no answer"),
                Err(error) => Err(error),
            },
        }
    }

    /// Has systemd stop it.
    pub fn stop(&self) {
        // A unit that has ended needs it no more.
        let _ = self.commands.send(Command::Stop);
    }

    /// Has systemd kill it.
    pub fn kill(&self) {
        let _ = self.commands.send(Command::Kill);
    }

    /// Waits for what it was to be watched for.
    ///
    /// # Errors
    /// systemd cannot be reached any more.
    pub fn finish(self) -> Result<Outcome> {
        finish(self.thread)
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

fn finish(thread: JoinHandle<Result<Outcome>>) -> Result<Outcome> {
    thread
        .join()
        .map_err(|_| anyhow!("the thread that talks with systemd has failed"))?
}

async fn talk(
    manager: Manager,
    request: Request,
    until: Until,
    mut commands: UnboundedReceiver<Command>,
    taken: &mpsc::Sender<()>,
) -> Result<Outcome> {
    let connection = connect(manager).await?;
    let proxy = ManagerProxy::new(&connection).await.context("asking systemd")?;
    proxy.subscribe().await.context("subscribing to systemd's signals")?;
    let path = unit_path(&request.unit)?;
    let jobs = ended_jobs(&connection).await?;
    let changes = signals(
        &connection,
        "org.freedesktop.DBus.Properties",
        "PropertiesChanged",
        path.as_str(),
    )
    .await?;
    let (told, mut events) = unbounded_channel();
    // Apart from the questions: the connection stands still, answers and all, while a signal waits that nobody takes.
    tokio::spawn(forward(jobs, changes, told));
    let unit = request.unit.clone();
    // Our copies of the descriptors in it are closed with this: whoever reads the other ends must see them end.
    let job = ask_for(&proxy, request).await?;
    let _ = taken.send(());
    let watched = Watched::new(&connection, path).await?;
    let mut result: Option<String> = None;
    let mut missed = 0;
    loop {
        let state = watched.state().await;
        missed = if state.is_err() { missed + 1 } else { 0 };
        let pause = match (state, &result, until) {
            (Ok(State::Ended), Some(job), _) | (Ok(_), Some(job), Until::Started) => {
                return Ok(watched.outcome(job).await);
            }
            (Err(error), ..) if missed > ANSWERS_MISSED => return Err(error),
            // A systemd that is executing itself anew answers nobody, and forgets the question.
            (Err(_), ..) => AGAIN,
            _ => NOW_AND_THEN,
        };
        tokio::select! {
            event = events.recv() => match event.context("systemd's bus has closed the connection")? {
                Event::JobOver(path, outcome) if path == job => result = Some(outcome),
                Event::JobOver(..) | Event::Changed => {}
            },
            () = tokio::time::sleep(pause) => result = result.or(watched.result().await),
            Some(command) = commands.recv() => match command {
                // One that has just ended by itself is gone, which is what was wanted.
                Command::Stop => drop(proxy.stop_unit(&unit, "replace").await),
                // The main process is the init of a PID namespace, and all in it end with it. What systemd runs for the unit must not: it
                // cleans up.
                Command::Kill => drop(proxy.kill_unit(&unit, "main", libc::SIGKILL).await),
            },
        }
    }
}

/// How often systemd may leave a question without an answer.
const ANSWERS_MISSED: u32 = 30;

/// How long it may take to answer this one.
const PATIENCE: Duration = Duration::from_secs(2);

/// How soon it is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// How often it is asked without a reason: what it would have signalled while it executed itself anew is not signalled later.
const NOW_AND_THEN: Duration = Duration::from_secs(5);

/// Has systemd make and start the units. Returns the job.
async fn ask_for(proxy: &ManagerProxy<'_>, request: Request) -> Result<OwnedObjectPath> {
    let auxiliary = request.auxiliary.iter();
    let others: Vec<_> = auxiliary
        .map(|(name, properties)| (name.as_str(), borrowed(properties)))
        .collect();
    let mut own = borrowed(&request.properties);
    let reference = Variant::from(true);
    own.push(("AddRef", &reference));
    let job = proxy.start_transient_unit(&request.unit, "fail", &own, &others).await;
    job.map_err(|error| refused(&request.unit, &error))
}

const MANAGER_PATH: &str = "/org/freedesktop/systemd1";

fn borrowed(properties: &[Property]) -> Vec<(&str, &Variant<'static>)> {
    properties.iter().map(|(name, value)| (name.as_str(), value)).collect()
}

/// What systemd's refusal means to whoever typed the name.
fn refused(unit: &str, error: &zbus::Error) -> anyhow::Error {
    if let zbus::Error::MethodError(name, _, _) = error
        && name.as_str() == "org.freedesktop.systemd1.UnitExists"
    {
        return anyhow!("there is a unit '{unit}' already, choose another name with --name, or stop that one");
    }
    anyhow!("systemd refuses to make '{unit}': {error}")
}

/// The jobs that are over, as systemd says so. To be subscribed to.
pub(super) async fn ended_jobs(connection: &Connection) -> Result<MessageStream> {
    signals(
        connection,
        "org.freedesktop.systemd1.Manager",
        "JobRemoved",
        MANAGER_PATH,
    )
    .await
}

async fn signals(connection: &Connection, interface: &str, member: &str, path: &str) -> Result<MessageStream> {
    let rule = || {
        MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender("org.freedesktop.systemd1")
            .interface(interface.to_owned())
            .member(member.to_owned())
            .path(path.to_owned())
            .build()
    };
    let subscribing = "subscribing to systemd's signals";
    let rule = rule().context(subscribing)?;
    MessageStream::for_match_rule(rule, connection, None)
        .await
        .context(subscribing)
}

/// What systemd has signalled.
#[derive(Debug)]
pub(super) enum Event {
    /// A job is over, with this result.
    JobOver(OwnedObjectPath, String),
    /// Something of our unit is another.
    Changed,
}

/// Takes the signals until the connection or the listener is gone.
async fn forward(mut jobs: MessageStream, mut changes: MessageStream, told: UnboundedSender<Event>) {
    loop {
        let event = tokio::select! {
            Some(Ok(message)) = next(&mut jobs) => over(&message),
            Some(Ok(_)) = next(&mut changes) => Some(Event::Changed),
            else => return,
        };
        if event.is_some_and(|event| told.send(event).is_err()) {
            return;
        }
    }
}

async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

fn over(message: &Message) -> Option<Event> {
    let body = message.body();
    let (_, path, _, result): (u32, OwnedObjectPath, String, String) = body.deserialize().ok()?;
    Some(Event::JobOver(path, result))
}

/// `ActiveState`, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Started,
    Ended,
}

struct Watched<'c> {
    unit: UnitProxy<'c>,
    service: ServiceProxy<'c>,
}

impl<'c> Watched<'c> {
    async fn new(connection: &Connection, path: OwnedObjectPath) -> Result<Self> {
        let unit = UnitProxy::builder(connection)
            .cache_properties(CacheProperties::No)
            .path(path.clone());
        let service = ServiceProxy::builder(connection)
            .cache_properties(CacheProperties::No)
            .path(path);
        Ok(Self {
            unit: unit.build().await.context("asking systemd")?,
            service: service.build().await.context("asking systemd")?,
        })
    }

    async fn state(&self) -> Result<State> {
        let asking = "asking systemd for the unit's state";
        let answer = tokio::time::timeout(PATIENCE, self.unit.active_state()).await;
        let state = answer.context(asking)?.context(asking)?;
        Ok(match state.as_str() {
            "inactive" | "failed" => State::Ended,
            "activating" => State::Starting,
            _ => State::Started,
        })
    }

    /// The result of a start job whose signal was missed, if it is over.
    async fn result(&self) -> Option<String> {
        let (job, _) = tokio::time::timeout(PATIENCE, self.unit.job()).await.ok()?.ok()?;
        match self.state().await.ok()? {
            _ if job != 0 => None,
            State::Starting => None,
            State::Started => Some("done".to_owned()),
            State::Ended => Some("failed".to_owned()),
        }
    }

    async fn outcome(&self, job: &str) -> Outcome {
        Outcome {
            job: job.to_owned(),
            result: self.service.outcome().await.unwrap_or_default(),
            code: self.service.exec_main_code().await.unwrap_or_default(),
            status: self.service.exec_main_status().await.unwrap_or_default(),
            status_text: self.service.status_text().await.unwrap_or_default(),
        }
    }
}

/// The same of jobs alone.
pub(super) async fn forward_jobs(mut jobs: MessageStream, told: UnboundedSender<Event>) {
    while let Some(Ok(message)) = next(&mut jobs).await {
        if over(&message).is_some_and(|event| told.send(event).is_err()) {
            return;
        }
    }
}

/// The object of a unit: its name, in which all but letters and digits is written as `_` and two digits.
pub(super) fn unit_path(unit: &str) -> Result<OwnedObjectPath> {
    let mut path = format!("{MANAGER_PATH}/unit/");
    for (index, byte) in unit.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => path.push(char::from(byte)),
            b'0'..=b'9' if index > 0 => path.push(char::from(byte)),
            byte => path.push_str(&format!("_{byte:02x}")),
        }
    }
    let path = ObjectPath::try_from(path).context("naming the unit's object")?;
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::unit_path;

    #[test]
    fn objects_are_named_as_systemd_names_them() {
        assert_eq!(
            unit_path("run-1a@b.service").unwrap().as_str(),
            "/org/freedesktop/systemd1/unit/run_2d1a_40b_2eservice"
        );
        assert_eq!(
            unit_path("1.service").unwrap().as_str(),
            "/org/freedesktop/systemd1/unit/_31_2eservice"
        );
    }
}
