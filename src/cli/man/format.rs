//! coracle.toml(5): the page of the file format, most of it from the key table.
//!
//! The prose explains what a table cannot: places, precedence, how values are written, what becomes of a mistake. Text from the table is
//! escaped, so that no backslash, dot or quote in it is taken for a request of roff(7).

use std::fmt::Write;

use crate::cli::explain::examples::{default, example};
use crate::cli::explain::{since, support, value};
use crate::definition::keys::{self, Key, Repeat, Section, Support};

const HEAD: &str = r#".SH NAME
coracle.toml \- container definitions
.SH SYNOPSIS
.nf
/etc/coracle/NAME.toml
/run/coracle/NAME.toml
/usr/lib/coracle/NAME.toml
NAME.toml.d/*.toml
.fi
.SH DESCRIPTION
A file NAME.toml defines a container. At each \fBsystemctl daemon\-reload\fR a generator turns it into NAME.service and, where it publishes
ports, into NAME.socket. They are started, stopped and enabled like any other unit.
.PP
Of two files of one name the one in the stronger directory counts; the directories above are in this order, the strongest first. An
empty file, or a link to /dev/null, masks the weaker ones. Files in NAME.toml.d are drop\-ins: they are merged over the definition in
the order of their names. Sub\-folders are read too. NAME@.toml is a template, as in systemd.unit(5).
.PP
A user's manager reads ~/.config/coracle, /etc/coracle/users and /etc/coracle/users/UID.
.SH EXAMPLE
.nf
[Container]
Image = "docker.io/library/nginx:1.27"
PublishPort = "8080:80"

[Service]
MemoryMax = "256M"
.fi
.SH VALUES
The file is TOML. Keys are spelt as in systemd and Quadlet. A key that can be given several times takes an array or a single value;
drop\-ins add to it. Exec and Entrypoint take an array of arguments, which knows no quoting at all, or one string in the quoting of
systemd.service(5). Environment, Label and Annotation take a table.
.PP
[Unit], [Service], [Socket], [Timer] and [Install] go through to systemd as they are, but for the keys below.
.SH CONDITIONS
systemd closes a socket for good when the service behind it is skipped for a condition. So where sockets start a container, a condition or
assertion of [Unit] about what comes and goes (ConditionPathExists= and all others about paths, files and directories, KernelModuleLoaded,
ACPower, NeedsUpdate, and MemoryPressure, CPUPressure and IOPressure of the machine) is asked at each start, by systemd\-analyze(1), which
needs a writable /tmp. While it does not hold the start fails with status 75 (EX_TEMPFAIL), so that OnFailure= is started and who connects waits;
the next try serves when it holds. One about what the machine is (ConditionHost= and all others) is asked when the socket or the timer is
started: where it does not hold there is no port. Where something else starts the container it is skipped then, or fails if it was an assertion.
.PP
Alternatives, which begin with |, are asked together. A container without sockets has its conditions as any service.
.SH WITHOUT ROOT
In a user's manager the container's root is the user, and its other users are those that subuid(5) and subgid(5) lend to that user. With
UserNS = "keep\-id" the user has the same number inside, and the root is one of the others. Network is "none", "host" (the user's), or
"pasta", which leads outside. %h is the user's home, and %t the directory below /run. UserNS = "host", AddDevice, volumes with rslave or rshared,
bridges and joined networks need root, and so does as a rule a port below 1024.
.SH MISTAKES
Every mistake is reported with file, line and column, by \fBcoracle check\fR and in the journal at each reload. After a warning the units
are made without the key. After an error NAME.service is made so that it fails with the mistake as its text, which
\fBsystemctl status\fR shows. One file never affects another.
.PP
The sockets are made as without the mistake, unless it is in PublishPort, Activation, ServiceName, [Socket], [Unit] or [Install], in the file's name,
or on a line that cannot be read and may be about one of these, or two files claim one name. So no port dies of a mistake that has nothing to do with it: who connects
waits, NAME.service fails and is tried again after the same pauses as any container that cannot start, and after the mending and a reload
the next try serves. With Activation = "accept" the connection is closed. Of [Service] such a service has all but commands,
credentials and standard streams, of [Unit] the order; of other sections nothing is carried out. \fBcoracle check\fR says what becomes of the sockets.
"#;

const TAIL: &str = r".SH SEE ALSO
coracle(1), coracle\-check(1), coracle\-explain(1), systemd.unit(5), systemd.service(5), systemd.socket(5),
systemd.directives(7), podman\-systemd.unit(5)
";

/// The page.
pub(super) fn page() -> String {
    let mut page = format!(
        ".TH coracle.toml 5 \"\" \"coracle {}\" Coracle\n{HEAD}",
        env!("CARGO_PKG_VERSION")
    );
    for section in Section::ALL {
        let keys: Vec<&Key> = keys::all().filter(|key| key.section == section).collect();
        if keys.is_empty() {
            continue;
        }
        let _ = writeln!(page, ".SH [{}]", section.name().to_uppercase());
        for key in keys {
            describe(key, &mut page);
        }
    }
    page.push_str(TAIL);
    page
}

fn describe(key: &Key, page: &mut String) {
    let repeatable = if key.repeat == Repeat::Many { "; repeatable" } else { "" };
    let default = default(key)
        .map(|default| format!(" Default: {default}."))
        .unwrap_or_default();
    let _ = writeln!(page, ".TP\n\\fB{}\\fR", escape(key.name));
    let _ = writeln!(page, "{}", escape(key.meaning));
    let value = format!(
        "Value: {}{repeatable}.{default} Since {}. Support: {}.",
        value(key.kind),
        since(key),
        support(key)
    );
    let _ = writeln!(page, ".RS\n.PP\n{}", escape(&value));
    let useful = !matches!(key.support, Support::Never { .. });
    if let Some(assignment) = example(key).lines().nth(1).filter(|_| useful) {
        let _ = writeln!(page, ".PP\n.nf\n    {}\n.fi", escape(assignment));
    }
    page.push_str(".RE\n");
}

/// The text on one line of roff, as itself.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    if text.starts_with(['.', '\'']) {
        escaped.push_str("\\&");
    }
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '"' => escaped.push_str("\\(dq"),
            '\'' => escaped.push_str("\\(aq"),
            '~' => escaped.push_str("\\(ti"),
            '^' => escaped.push_str("\\(ha"),
            '…' => escaped.push_str("\\&..."),
            '\n' | '\r' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_taken_for_a_request() {
        assert_eq!(escape(".TH\n'x"), "\\&.TH \\(aqx");
        assert_eq!(escape("'a"), "\\&\\(aqa");
        assert_eq!(escape("a\\-"), "a\\e\\-");
    }

    #[test]
    fn names_every_key() {
        let page = page();
        for key in keys::all() {
            let heading = format!(".TP\n\\fB{}\\fR\n", key.name);
            assert!(page.contains(&heading), "'{}' is not on the page", key.name);
        }
    }
}
