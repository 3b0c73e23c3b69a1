//! Everything that a check has started, however far it has got away: a nursery is the parent of all whose own parents have ended
//! (`PR_SET_CHILD_SUBREAPER`), so that whoever kills its children, and theirs when they have become its own, leaves nobody.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::Pid;

use crate::sys::process::{reap, send_signal};

/// How long the end of all of them is waited for. One that hangs in the kernel, or that starts others faster than they are killed, is left.
const PATIENCE: Duration = Duration::from_secs(1);

/// The children of this process, of which there is one thread.
#[derive(Debug)]
pub struct Offspring {
    /// Their list; nothing where the kernel has none, or where what lies in its place is something else.
    list: Option<File>,
}

impl Offspring {
    /// From now on, all of this process's descendants.
    ///
    /// # Errors
    /// What prctl(2) says.
    pub fn adopt() -> io::Result<Self> {
        set_child_subreaper(true)?;
        let list = File::open("/proc/thread-self/children").ok();
        let is_real = |list: &File| fstatfs(list).is_ok_and(|about| about.filesystem_type() == PROC_SUPER_MAGIC);
        Ok(Self {
            list: list.filter(is_real),
        })
    }

    /// The list's descriptor, for who closes all others.
    #[must_use]
    pub fn list(&self) -> Option<&File> {
        self.list.as_ref()
    }

    /// Kills all of them, `leader` and its group first, and takes them in.
    pub fn end(&self, leader: Option<Pid>) {
        let begun = Instant::now();
        if let Some(leader) = leader {
            send_signal(Pid::from_raw(-leader.as_raw()), libc::SIGKILL);
            send_signal(leader, libc::SIGKILL);
        }
        loop {
            while reap().is_some() {}
            let children = self.children();
            if children.is_empty() || begun.elapsed() > PATIENCE {
                return;
            }
            children.iter().for_each(|child| send_signal(*child, libc::SIGKILL));
            sleep(Duration::from_millis(1));
        }
    }

    fn children(&self) -> Vec<Pid> {
        let mut text = [0; 4096];
        let length = self.list.as_ref().and_then(|list| list.read_at(&mut text, 0).ok());
        let text = text.get(..length.unwrap_or(0)).unwrap_or_default();
        let words = text.split(|byte| byte.is_ascii_whitespace());
        let numbers = words.filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok());
        // A number that was cut off at the end may be another's; nobody has the number of init, nor that of all.
        let mut children: Vec<Pid> = numbers.filter(|number| *number > 1).map(Pid::from_raw).collect();
        if text.len() == 4096 {
            children.pop();
        }
        children
    }
}
