//! How it is told that a definition cannot be started, and what becomes of its sockets. Nothing here asks anybody.

use crate::generate::broken::Broken;

/// One of them, as a sentence without its end.
pub(in crate::cli) fn sentence(broken: &Broken) -> String {
    let unit = &broken.unit;
    let be = |sockets: &[String], one: &str, many: &str| match sockets {
        [_] => one.to_owned(),
        _ => many.to_owned(),
    };
    match (broken.open.as_slice(), broken.closed.as_slice()) {
        ([], []) => format!("'{unit}' cannot start before that is mended"),
        ([], closed) => {
            let are = be(closed, "is", "are");
            format!(
                "'{unit}' cannot start before that is mended, and {} {are} closed as soon as nothing runs",
                names(closed)
            )
        }
        (open, _) => format!(
            "'{unit}' cannot start before that is mended; {} {} open meanwhile",
            names(open),
            be(open, "stays", "stay")
        ),
    }
}

/// Units in quotes.
pub(in crate::cli) fn names<N: AsRef<str>>(units: &[N]) -> String {
    let quoted: Vec<String> = units.iter().map(|unit| format!("'{}'", unit.as_ref())).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::generate::broken::Broken;

    #[test]
    fn it_is_told_what_stays_open() {
        let told = |open: &[&str], closed: &[&str]| {
            let list = |units: &[&str]| units.iter().map(|unit| (*unit).to_owned()).collect();
            let broken = Broken {
                unit: "a.service".to_owned(),
                resolved: String::new(),
                open: list(open),
                closed: list(closed),
            };
            sentence(&broken)
        };
        assert_eq!(told(&[], &[]), "'a.service' cannot start before that is mended");
        assert_eq!(
            told(&["a.socket", "a-b.socket"], &[]),
            "'a.service' cannot start before that is mended; 'a.socket', 'a-b.socket' stay open meanwhile"
        );
        assert_eq!(
            told(&[], &["a.socket"]),
            "'a.service' cannot start before that is mended, and 'a.socket' is closed as soon as nothing runs"
        );
    }
}
