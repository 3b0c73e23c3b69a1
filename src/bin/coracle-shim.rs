//! `coracle-shim`: one start of one container (`ExecStart=`), or the cleaning up after one (`ExecStopPost=`), or the proxy before
//! one, or the waiting for the end of the `coracle run` that a container belongs to.
//!
//! It parses its arguments by hand: it is on the start path, and nobody types it.

#![no_main]

use std::path::Path;

use coracle::run::attend::attend;
use coracle::run::cleanup::clean_up;
use coracle::run::condition::Conditions;
use coracle::run::exec::{self, complain};
use coracle::run::failure::{CONFIG, OrFail as _};
use coracle::run::network::names::serve;
use coracle::run::proxy;
use coracle::run::reload;
use coracle::run::start::{report, start};
use coracle::run::terminal::parse_size;

const USAGE: &str = "usage: coracle-shim [--terminal ROWSxCOLUMNS] RESOLVED.json UNIT [CONDITION...] [-- CONDITION...]
       coracle-shim --cleanup UNIT [RESOLVED.json]
       coracle-shim --proxy UNIT CONTAINER TARGET [OPTIONS OF systemd-socket-proxyd]
       coracle-shim --attend
       coracle-shim --serve-names
       coracle-shim --signal PID NUMBER
       coracle-shim --reload RESOLVED.json UNIT PID
       coracle-shim --exec UNIT RESOLVED.json INIT CGROUP UMASK [OPTIONS] -- COMMAND...

Starts the container of a resolved definition, as systemd's ExecStart= in a unit that coracle-generator wrote, if
conditions hold as systemd-analyze(1) takes them, the last ones only where no socket is passed; or
removes the writable layer of a container that has stopped, and a definition that was made for one run; or forwards
connections into a container; or waits for the end of standard input; or becomes the server of names of all networks; or
has a container read its configuration again; or runs one more program in a container that runs. See coracle(1).";

coracle::entry!(run);

fn run() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--exec", ref request @ ..] => return exec::begin(request).unwrap_or_else(|failure| complain(&failure)),
        ["--exec-sealed", ref request @ ..] => return exec::run(request).unwrap_or_else(|failure| complain(&failure)),
        ["--reload", resolved, unit, pid] => {
            return reload::reload(resolved, unit, pid).unwrap_or_else(|failure| complain(&failure));
        }
        _ => {}
    }
    let result = match arguments[..] {
        ["--cleanup", unit] => clean_up(unit, None),
        ["--cleanup", unit, resolved] => clean_up(unit, Some(Path::new(resolved))),
        ["--proxy", unit, container, target, ref options @ ..] => proxy::run(unit, container, target, options),
        ["--signal", pid, number] => reload::signal(pid, number),
        ["--attend"] => attend(),
        ["--serve-names"] => serve(),
        ["--terminal", size, resolved, unit] => parse_size(size)
            .or_fail(CONFIG)
            .and_then(|size| start(Path::new(resolved), unit, Conditions::of_arguments(&[]), Some(size))),
        [resolved, unit, ref conditions @ ..] if !resolved.starts_with('-') => {
            start(Path::new(resolved), unit, Conditions::of_arguments(conditions), None)
        }
        _ => {
            eprintln!("{USAGE}");
            return 2;
        }
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            report(&failure);
            failure.status
        }
    }
}
