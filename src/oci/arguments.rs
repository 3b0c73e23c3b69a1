//! The command line of `coracle-oci`, as engines type it.
//!
//! It is that of the runtimes which engines know (runc(8), crun(1)): the same verbs, the same options, before or after the container's
//! name. Options that say nothing to us, since what they switch off is not there, are taken and ignored; each says so.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::oci::container::ROOT;

/// Create and run containers from OCI bundles
///
/// The command line of the OCI runtime specification, for engines such as Podman and containerd: the container is described by a bundle (a
/// directory with a config.json and a root file system), and isolated by the same code as every container of coracle(1).
#[derive(Debug, Parser)]
#[command(
    name = "coracle-oci",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// Where containers are written down
    #[arg(long, global = true, value_name = "DIRECTORY", default_value = ROOT)]
    pub root: PathBuf,
    /// Write errors to this file too
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// The form of the log
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Say more (accepted for the engines' sake: there is nothing more to say)
    #[arg(long, global = true)]
    pub debug: bool,
    /// Let systemd own the control groups: 'cgroupsPath' is SLICE:PREFIX:NAME
    #[arg(long, global = true)]
    pub systemd_cgroup: bool,
    /// Who owns the control groups
    #[arg(long, global = true, value_name = "MANAGER")]
    pub cgroup_manager: Option<CgroupManager>,
    /// Ignored: it is found out
    #[arg(long, global = true, value_name = "VALUE", hide = true)]
    pub rootless: Option<String>,
    /// Ignored: there is no checkpointing
    #[arg(long, global = true, value_name = "PATH", hide = true)]
    pub criu: Option<String>,
    /// Print the version
    #[arg(long, short = 'v')]
    pub version: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For engines.
    Json,
}

/// Who owns the control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CgroupManager {
    /// Directories of ours.
    Cgroupfs,
    /// Scopes of systemd's.
    Systemd,
    /// Nobody: containers stay in the caller's.
    Disabled,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a container, which waits to be started
    Create(Create),
    /// Start a container that waits for it
    Start(Name),
    /// Make a container, start it, wait for its end and remove it
    Run(Run),
    /// Print a container's state
    State(Name),
    /// Send a signal to a container's process
    Kill(Kill),
    /// Remove a container that has stopped
    Delete(Delete),
    /// Run a further process in a container
    Exec(Exec),
    /// Freeze a container
    Pause(Name),
    /// Let a frozen container go on
    Resume(Name),
    /// Change a container's limits
    Update(Update),
    /// List a container's processes
    Ps(Ps),
    /// List the containers
    List(List),
    /// Print what a container uses
    Events(Events),
    /// Print what is supported
    Features,
    /// Write a config.json to begin with
    Spec(Spec),
}

/// A container.
#[derive(Debug, Args)]
pub struct Name {
    /// The container's name
    pub id: String,
}

/// Options of `create`, which `run` has too.
#[derive(Debug, Args)]
pub struct Create {
    /// The container's name
    pub id: String,
    /// The directory of the bundle
    #[arg(long, short, value_name = "DIRECTORY", default_value = ".")]
    pub bundle: PathBuf,
    /// A socket to send the container's terminal to
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Write the number of the container's process to this file
    #[arg(long, visible_alias = "pidfile", value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that the container keeps
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub preserve_fds: u16,
    /// Enter the root without pivot_root(2)
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Ignored: there is no subreaper to be
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Those of `create`
    #[command(flatten)]
    pub create: Create,
    /// Return when it has started
    #[arg(long, short)]
    pub detach: bool,
    /// Leave the container to be removed by 'delete'
    #[arg(long)]
    pub keep: bool,
}

/// Options of `kill`.
#[derive(Debug, Args)]
pub struct Kill {
    /// The container's name
    pub id: String,
    /// The signal, a name or a number
    #[arg(default_value = "SIGTERM")]
    pub signal: String,
    /// Send it to all of the container's processes
    #[arg(long, short)]
    pub all: bool,
}

/// Options of `delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The container's name
    pub id: String,
    /// Kill it if it runs, and be content if there is none
    #[arg(long, short)]
    pub force: bool,
}

/// Options of `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// A file that describes the process, in the form of 'process' in a config.json
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["cwd", "env", "user", "cap", "tty"])]
    pub process: Option<PathBuf>,
    /// Return when it has started
    #[arg(long, short)]
    pub detach: bool,
    /// Give it a terminal
    #[arg(long, short)]
    pub tty: bool,
    /// A socket to send its terminal to
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Write its number to this file
    #[arg(long, visible_alias = "pidfile", value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that it keeps
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub preserve_fds: u16,
    /// Its working directory
    #[arg(long, value_name = "DIRECTORY")]
    pub cwd: Option<String>,
    /// A variable of its environment; again for more
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Its user and group
    #[arg(long, short, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Supplementary groups
    #[arg(long, short = 'g', value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// A capability that it has besides; again for more
    #[arg(long, short, value_name = "CAPABILITY")]
    pub cap: Vec<String>,
    /// Forbid it to gain rights
    #[arg(long)]
    pub no_new_privs: bool,
    /// An AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// An SELinux label
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// A group below the container's control group
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<String>,
    /// Run it in a container that is paused too
    #[arg(long)]
    pub ignore_paused: bool,
    /// Ignored: there is no subreaper to be
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
    /// The container's name
    pub id: String,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `update`.
#[derive(Debug, Args)]
pub struct Update {
    /// The container's name
    pub id: String,
    /// A file in the form of 'linux.resources' in a config.json; - is standard input
    #[arg(long, short, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Memory in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory: Option<i64>,
    /// Memory that is not taken while there is enough, in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_reservation: Option<i64>,
    /// Memory and swap together, in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<i64>,
    /// Processes and threads
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Processor time in each period, in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// That period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// The share of processor time beside others, 2 to 262144
    #[arg(long, visible_alias = "cpu-shares", value_name = "SHARES")]
    pub cpu_share: Option<u64>,
    /// Processors, such as 0-3,5
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// The share of input and output beside others, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
}

/// Options of `ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// The container's name
    pub id: String,
    /// The form
    #[arg(long, short, default_value = "table")]
    pub format: Format,
    /// Ignored: the columns are fixed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub options: Vec<String>,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// The form
    #[arg(long, short, default_value = "table")]
    pub format: Format,
    /// Print names only
    #[arg(long, short)]
    pub quiet: bool,
}

/// Options of `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// The container's name
    pub id: String,
    /// Print once and end
    #[arg(long)]
    pub stats: bool,
    /// How long to wait in between
    #[arg(long, value_name = "SECONDS", default_value = "5s")]
    pub interval: String,
}

/// Options of `spec`.
#[derive(Debug, Args)]
pub struct Spec {
    /// The directory of the bundle
    #[arg(long, short, value_name = "DIRECTORY", default_value = ".")]
    pub bundle: PathBuf,
}

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}
