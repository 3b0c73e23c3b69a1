//! Environment files as systemd reads them (systemd.exec(5), "EnvironmentFile="): lines of `NAME=VALUE`, in the quoting of a shell but
//! without its expansions.
//!
//! A line that begins with `#` or `;` is a comment. A backslash takes the meaning from what follows, and joins lines at their end; in
//! double quotes it does so only before `"`, `\`, a backtick and `$`. What is no assignment is left out and named, as systemd does.

/// What a file sets, and the numbers of the lines that set nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// In the order of the file.
    pub variables: Vec<(String, String)>,
    /// Lines, counted from 1, that are no assignment or whose name is none.
    pub skipped: Vec<usize>,
}

/// Reads the text of a file.
#[must_use]
pub fn parse(text: &str) -> Environment {
    let mut environment = Environment::default();
    let mut characters = text.chars().peekable();
    let mut line = 1;
    while characters.peek().is_some() {
        let begun = line;
        // Blank lines, and blanks in front.
        match characters.peek() {
            Some('\n') => {
                characters.next();
                line += 1;
                continue;
            }
            Some(c) if c.is_ascii_whitespace() => {
                characters.next();
                continue;
            }
            Some('#' | ';') => {
                // It ends with its line, whatever stands there (so since systemd 254).
                characters.by_ref().find(|&c| c == '\n');
                line += 1;
                continue;
            }
            _ => {}
        }
        let mut name = String::new();
        let mut is_assignment = false;
        for c in characters.by_ref() {
            match c {
                '=' => {
                    is_assignment = true;
                    break;
                }
                '\n' => break,
                _ => name.push(c),
            }
        }
        if !is_assignment {
            line += 1;
            environment.skipped.push(begun);
            continue;
        }
        let value = value(&mut characters, &mut line);
        let name = name.trim_end();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_name && !value.contains('\0') {
            environment.variables.push((name.to_owned(), value));
        } else {
            environment.skipped.push(begun);
        }
    }
    environment
}

/// A value up to the end of its line, without the blanks around it that are not quoted.
fn value(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, line: &mut usize) -> String {
    let mut value = String::new();
    // How much of it stays when it ends here: blanks at the end do not.
    let mut kept = 0;
    // Only here and behind another quotation a quote is more than a character.
    let mut is_begun = false;
    while let Some(c) = characters.next() {
        match c {
            '\n' => {
                *line += 1;
                break;
            }
            '\r' if characters.peek().is_none_or(|&next| next == '\n') => {}
            '"' | '\'' if !is_begun => {
                quoted(c, characters, &mut value, line);
                kept = value.len();
            }
            '\\' => {
                is_begun = true;
                match characters.next() {
                    Some('\n') => *line += 1,
                    Some(next) => value.push(next),
                    None => {}
                }
                kept = value.len();
            }
            _ if c.is_ascii_whitespace() => {
                if is_begun {
                    value.push(c);
                }
            }
            _ => {
                is_begun = true;
                value.push(c);
                kept = value.len();
            }
        }
    }
    value.truncate(kept);
    value
}

fn quoted(
    quote: char,
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    value: &mut String,
    line: &mut usize,
) {
    while let Some(c) = characters.next() {
        if c == '\n' {
            *line += 1;
        }
        match c {
            _ if c == quote => return,
            '\\' if quote == '"' => match characters.next() {
                Some('\n') => *line += 1,
                Some(next @ ('"' | '\\' | '`' | '$')) => value.push(next),
                Some(next) => value.extend(['\\', next]),
                None => {}
            },
            _ => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).variables
    }

    #[test]
    fn as_systemd_reads_them() {
        let text = "# A=no\n; B=no \\\n\n  ONE = it's two words  \nQUOTED=\"a\\\"b\\n $\" 'x'\nSINGLE='a\\b\nc'\nJOINED=a\\\nb\nEMPTY=\nLAST=x";
        let expected = [
            ("ONE", "it's two words"),
            ("QUOTED", "a\"b\\n $x"),
            ("SINGLE", "a\\b\nc"),
            ("JOINED", "ab"),
            ("EMPTY", ""),
            ("LAST", "x"),
        ];
        assert_eq!(pairs(text), expected.map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn what_is_no_assignment_is_named() {
        let read = parse("A=1\nword\n1B=2\nexport C=3\n\nD=\"open\n");
        assert_eq!(
            read.variables,
            [("A".into(), "1".into()), ("D".into(), "open\n".into())]
        );
        assert_eq!(read.skipped, [2, 3, 4]);
        assert_eq!(parse("\\"), parse("\\"));
        assert_eq!(pairs("A=\\"), [("A".into(), String::new())]);
        assert_eq!(
            pairs("A=1\r\nB=2\r\n"),
            [("A".into(), "1".into()), ("B".into(), "2".into())]
        );
    }
}
