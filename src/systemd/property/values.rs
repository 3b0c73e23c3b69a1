//! Reads values as systemd's unit files have them: sizes, time spans, shares, lists, commands, addresses.
//!
//! systemd takes the text of a unit file in one place and typed values over D-Bus in another, and leaves the turning of the one into the
//! other to its callers (systemctl's `set-property` and systemd-run do it too). Whatever is none of what systemd would take is an
//! error with what would be.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::unitfile::words;

/// `infinity`, as systemd's limits have it on the bus.
pub(super) const INFINITY: u64 = u64::MAX;

/// What a limit can be: so much, or a share of what the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    /// Of bytes or tasks.
    Absolute(u64),
    /// In units of 1/2³²-1, as systemd takes it.
    Share(u32),
}

/// `yes`, `no` and their synonyms.
pub(super) fn boolean(text: &str) -> Result<bool> {
    let is_one_of = |words: [&str; 6]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match text {
        _ if is_one_of(["1", "yes", "y", "true", "t", "on"]) => Ok(true),
        _ if is_one_of(["0", "no", "n", "false", "f", "off"]) => Ok(false),
        _ => bail!("write 'yes' or 'no'"),
    }
}

/// A number of bytes with a suffix of 1024, `infinity`, or a share of all memory.
pub(super) fn size(text: &str) -> Result<Amount> {
    match text {
        "infinity" => Ok(Amount::Absolute(INFINITY)),
        _ => match text.strip_suffix('%') {
            Some(number) => Ok(Amount::Share(share(number)?)),
            None => Ok(Amount::Absolute(scaled(text, 1024).context(
                "write a number of bytes such as '256M', a share such as '10%', or 'infinity'",
            )?)),
        },
    }
}

/// A number of tasks, `infinity`, or a share.
pub(super) fn count(text: &str) -> Result<Amount> {
    match text {
        "infinity" => Ok(Amount::Absolute(INFINITY)),
        _ => match text.strip_suffix('%') {
            Some(number) => Ok(Amount::Share(share(number)?)),
            None => {
                let number = text.parse().ok().filter(|number| *number > 0);
                Ok(Amount::Absolute(
                    number.context("write a number, a share such as '10%', or 'infinity'")?,
                ))
            }
        },
    }
}

/// A number with a suffix `K`, `M`, `G`, `T`, `P`, `E`, each `base` times the one before.
pub(super) fn scaled(text: &str, base: u64) -> Option<u64> {
    let text = text.trim_end_matches('B');
    let (number, power) = match text.char_indices().next_back() {
        Some((at, suffix)) => match "KMGTPE".find(suffix) {
            Some(power) => (text.get(..at)?, u32::try_from(power).ok()? + 1),
            None => (text, 0),
        },
        None => return None,
    };
    let factor = base.checked_pow(power)?;
    match number.trim().split_once('.') {
        None => number.trim().parse::<u64>().ok()?.checked_mul(factor),
        Some((whole, fraction)) => {
            ensure_digits(fraction)?;
            let denominator = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / u128::from(denominator);
            whole
                .parse::<u64>()
                .ok()?
                .checked_mul(factor)?
                .checked_add(u64::try_from(part).ok()?)
        }
    }
}

/// A share in percent with up to two places behind the point, in units of 1/2³²-1.
fn share(number: &str) -> Result<u32> {
    let permyriad = permyriad(number).filter(|permyriad| *permyriad <= 10_000);
    let permyriad = permyriad.context("write a share between '0%' and '100%'")?;
    let scaled = (permyriad * u64::from(u32::MAX)).div_ceil(10_000);
    Ok(u32::try_from(scaled)?)
}

/// `12.5` as 1250.
fn permyriad(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    ensure_digits(fraction)?;
    let fraction: u64 = match fraction.len() {
        0 => 0,
        1 => fraction.parse::<u64>().ok()? * 10,
        2 => fraction.parse().ok()?,
        _ => return None,
    };
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(fraction)
}

fn ensure_digits(text: &str) -> Option<()> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())
}

/// `CPUQuota=`: microseconds of processor time in a second; `INFINITY` takes it back.
pub(super) fn quota(text: &str) -> Result<u64> {
    if text.is_empty() {
        return Ok(INFINITY);
    }
    let permyriad = text
        .strip_suffix('%')
        .and_then(permyriad)
        .filter(|permyriad| *permyriad > 0);
    let quota = permyriad.context("write a share of one processor such as '50%', or of several such as '200%'")?;
    Ok(quota.saturating_mul(100))
}

/// `CPUWeight=` and its kind: 1 to 10000, or `idle` where that is known; `INFINITY` takes it back.
pub(super) fn weight(text: &str) -> Result<u64> {
    match text {
        "" => Ok(INFINITY),
        "idle" => Ok(0),
        _ => {
            let weight = text.parse().ok().filter(|weight| (1..=10_000).contains(weight));
            weight.context("write a number from 1 to 10000; the default is 100")
        }
    }
}

/// systemd.time(7): a number of seconds, or numbers with units; in microseconds.
pub(super) fn span(text: &str) -> Result<u64> {
    const WANTED: &str = "write a time span such as '30s', '1min 30s' or 'infinity'";
    if text == "infinity" {
        return Ok(INFINITY);
    }
    ensure!(!text.trim().is_empty(), WANTED);
    let mut total = 0_u64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, behind) = rest.split_at(number_end);
        let behind = behind.trim_start();
        let unit_end = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_end);
        let factor = unit_of_time(unit).context(WANTED)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        ensure_digits(fraction).context(WANTED)?;
        let mut part = whole
            .parse::<u64>()
            .ok()
            .and_then(|whole| whole.checked_mul(factor))
            .context(WANTED)?;
        let mut place = factor;
        for digit in fraction.bytes().take(12) {
            place /= 10;
            part = part.saturating_add(place * u64::from(digit - b'0'));
        }
        total = total.checked_add(part).context(WANTED)?;
        rest = next.trim_start();
    }
    Ok(total)
}

fn unit_of_time(unit: &str) -> Option<u64> {
    const SECOND: u64 = 1_000_000;
    Some(match unit {
        "us" | "usec" | "µs" | "μs" => 1,
        "ms" | "msec" => 1000,
        "" | "s" | "sec" | "second" | "seconds" => SECOND,
        "m" | "min" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hour" | "hours" => 3600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        "w" | "week" | "weeks" => 7 * 86_400 * SECOND,
        "M" | "month" | "months" => 2_629_800 * SECOND,
        "y" | "year" | "years" => 31_557_600 * SECOND,
        _ => return None,
    })
}

/// `0-3,5`: processors or memory nodes, as the bit mask that systemd takes.
pub(super) fn set(text: &str) -> Result<Vec<u8>> {
    const WANTED: &str = "write numbers and ranges such as '0-3,5'";
    let mut mask = Vec::new();
    for range in text.split([',', ' ']).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: usize = first.parse().ok().context(WANTED)?;
        let last: usize = last
            .parse()
            .ok()
            .filter(|last| (first..8192).contains(last))
            .context(WANTED)?;
        for number in first..=last {
            if mask.len() <= number / 8 {
                mask.resize(number / 8 + 1, 0);
            }
            mask[number / 8] |= 1 << (number % 8);
        }
    }
    Ok(mask)
}

/// `LimitNOFILE=` and its kind: the soft and the hard limit.
pub(super) fn limits(text: &str, unit: fn(&str) -> Option<u64>) -> Result<(u64, u64)> {
    let one = |text: &str| match text {
        "infinity" => Some(INFINITY),
        text => unit(text),
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let limits = one(soft).zip(one(hard)).filter(|(soft, hard)| soft <= hard);
    limits.context("write a limit, or SOFT:HARD, or 'infinity'")
}

/// A signal's name, with or without `SIG`, or its number.
pub(super) fn signal(text: &str) -> Result<i32> {
    let named = || {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        format!("SIG{name}").parse::<nix::sys::signal::Signal>().ok()
    };
    let number = text.parse().ok().filter(|number| (1..=64).contains(number));
    number
        .or_else(|| named().map(|signal| signal as i32))
        .context("write a signal such as 'SIGTERM'")
}

/// Words in systemd's quoting.
pub(super) fn words(text: &str) -> Result<Vec<String>> {
    words::split(text).context("reading the list")
}

/// `ExecStart=` and its kind: the program, its arguments, and whether a failure does not matter (`-`).
pub(super) fn command(text: &str) -> Result<(String, Vec<String>, bool)> {
    let (text, ignore) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    // Dollars were doubled for the unit file; over the bus systemd reads them in the same way.
    let words = words(text)?;
    let program = words.first().filter(|program| program.starts_with('/'));
    Ok((
        program.context("write a command with an absolute path")?.clone(),
        words,
        ignore,
    ))
}

/// `IPAddressAllow=`: family, address and prefix of each.
pub(super) fn addresses(text: &str) -> Result<Vec<(i32, Vec<u8>, u32)>> {
    const WANTED: &str = "write addresses such as '10.0.0.0/8', 'any', 'localhost' or 'link-local'";
    let mut addresses = Vec::new();
    for word in words(text)? {
        let meant: &[&str] = match word.as_str() {
            "any" => &["0.0.0.0/0", "::/0"],
            "localhost" => &["127.0.0.0/8", "::1/128"],
            "link-local" => &["169.254.0.0/16", "fe80::/64"],
            "multicast" => &["224.0.0.0/4", "ff00::/8"],
            other => &[other],
        };
        for address in meant {
            let (host, length) = address
                .split_once('/')
                .map_or((*address, None), |(host, length)| (host, Some(length)));
            let (family, bytes) = match host.parse::<IpAddr>().ok().context(WANTED)? {
                IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
                IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
            };
            let longest = u32::try_from(bytes.len() * 8)?;
            let length = length.map_or(Some(longest), |length| {
                length.parse().ok().filter(|length| *length <= longest)
            });
            addresses.push((family, bytes, length.context(WANTED)?));
        }
    }
    Ok(addresses)
}

/// `PATH VALUE`, as the limits of single devices have it.
pub(super) fn of_device(text: &str) -> Result<(String, String)> {
    match words(text)?.as_slice() {
        [device, value] if device.starts_with('/') => Ok((device.clone(), value.clone())),
        _ => bail!("write a device or a path, and the value, such as '/dev/sda 10M'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("256M").unwrap(), Amount::Absolute(256 << 20));
        assert_eq!(size("1.5G").unwrap(), Amount::Absolute(3 << 29));
        assert_eq!(size("4096").unwrap(), Amount::Absolute(4096));
        assert_eq!(size("infinity").unwrap(), Amount::Absolute(INFINITY));
        assert_eq!(size("100%").unwrap(), Amount::Share(u32::MAX));
        assert_eq!(size("0%").unwrap(), Amount::Share(0));
        for wrong in [
            "",
            "M",
            "-1",
            "1X",
            "101%",
            "x%",
            "99999999999999999999",
            "16E",
            "1.x",
            "1.-5M",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(count("64").unwrap(), Amount::Absolute(64));
        assert!(count("0").is_err() && count("4M").is_err());
    }

    #[test]
    fn quotas_and_weights() {
        assert_eq!(quota("50%").unwrap(), 500_000);
        assert_eq!(quota("12.5%").unwrap(), 125_000);
        assert_eq!(quota("200%").unwrap(), 2_000_000);
        assert_eq!(quota("").unwrap(), INFINITY);
        assert!(quota("50").is_err() && quota("0%").is_err());
        assert_eq!((weight("100").unwrap(), weight("idle").unwrap()), (100, 0));
        assert!(weight("0").is_err() && weight("10001").is_err());
    }

    #[test]
    fn spans() {
        assert_eq!(span("90").unwrap(), 90_000_000);
        assert_eq!(span("1min 30s").unwrap(), 90_000_000);
        assert_eq!(span("1.5s").unwrap(), 1_500_000);
        assert_eq!(span("100ms").unwrap(), 100_000);
        assert_eq!(span("infinity").unwrap(), INFINITY);
        for wrong in ["", "s", "1x", "-1s", "1 2x", "ä", "99999999999999999999"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists() {
        assert_eq!(set("0-2,9").unwrap(), [0b111, 0b10]);
        assert!(set("3-1").is_err() && set("x").is_err() && set("0-99999999").is_err());
        assert_eq!(
            addresses("10.0.0.0/8 localhost").unwrap()[0],
            (libc::AF_INET, vec![10, 0, 0, 0], 8)
        );
        assert_eq!(addresses("any").unwrap().len(), 2);
        assert!(addresses("10.0.0.0/33").is_err() && addresses("nowhere").is_err());
        assert_eq!(
            command("-/bin/x 'a b' c").unwrap(),
            (
                "/bin/x".to_owned(),
                vec!["/bin/x".to_owned(), "a b".into(), "c".into()],
                true
            )
        );
        assert!(command("").is_err() && command("x").is_err());
        assert_eq!(signal("TERM").unwrap(), 15);
        assert!(signal("NONE").is_err());
        assert_eq!(limits("10:20", |text| text.parse().ok()).unwrap(), (10, 20));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,20}") {
            let _ = (size(&text), count(&text), quota(&text), span(&text), set(&text));
            let _ = (addresses(&text), command(&text), signal(&text), of_device(&text));
        }
    }
}
