//! The courses that containers' health takes, on a clock of the test's own.

use std::time::{Duration, Instant};

use super::{Change, Course, State, Which};
use crate::definition::health::{Check, Health, OnFailure, Startup};

fn check(interval: u64) -> Check {
    Check {
        command: vec!["/x".to_owned()],
        interval,
        timeout: 1000,
    }
}

fn health(start_period: u64, startup: Option<Startup>) -> Health {
    Health {
        check: check(1000),
        retries: 3,
        start_period,
        startup,
        on_failure: OnFailure::None,
        log_size: 500,
    }
}

/// Runs the checks for `span` milliseconds, each of which takes none; whether one passes is said by the time and which it is. Returns each change with its time,
/// and how many checks there were.
fn run(health: Health, span: u64, passes: impl Fn(u64, Which) -> bool) -> (Vec<(u64, Change)>, usize, State) {
    let begun = Instant::now();
    let mut course = Course::new(health, begun);
    let (mut changes, mut count) = (Vec::new(), 0);
    while course.due() <= begun + Duration::from_millis(span) {
        let now = course.due();
        let at = u64::try_from((now - begun).as_millis()).unwrap();
        let change = course.take(passes(at, course.which()), now, now);
        changes.extend(change.map(|change| (at, change)));
        count += 1;
        assert!(course.due() > now || course.which() == Which::Regular);
    }
    (changes, count, course.state())
}

#[test]
fn a_program_that_answers_at_once_is_asked_at_the_interval_from_then_on() {
    let (changes, count, state) = run(health(0, None), 10_050, |_, _| true);
    assert_eq!(
        (changes, count, state),
        (vec![(100, Change::Healthy)], 10, State::Healthy)
    );
}

#[test]
fn one_that_comes_late_is_found_early() {
    let (changes, ..) = run(health(0, None), 5_000, |at, _| at >= 650);
    assert_eq!(changes, [(800, Change::Healthy)]);
    assert_eq!(run(health(0, None), 950, |_, _| false).1, 4);
}

#[test]
fn one_that_never_comes_is_unhealthy_after_as_many_intervals_as_there_are_retries() {
    let (changes, _, state) = run(health(0, None), 60_000, |_, _| false);
    assert_eq!((changes, state), (vec![(3000, Change::Unhealthy(3))], State::Unhealthy));
}

#[test]
fn failures_in_a_row_and_no_others_make_it_unhealthy_and_one_success_healthy() {
    let (changes, ..) = run(health(0, None), 20_000, |at, _| {
        !(2000..4000).contains(&at) && !(5000..9000).contains(&at)
    });
    let expected = [
        (100, Change::Healthy),
        (7100, Change::Unhealthy(3)),
        (9100, Change::Healthy),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn the_start_period_counts_until_the_first_success() {
    let (changes, ..) = run(health(10_000, None), 60_000, |_, _| false);
    assert_eq!(changes, [(12_000, Change::Unhealthy(3))]);
    let (changes, ..) = run(health(10_000, None), 60_000, |at, _| at < 1000);
    assert_eq!(changes[..2], [(100, Change::Healthy), (3100, Change::Unhealthy(3))]);
}

#[test]
fn the_regular_check_waits_for_that_of_the_start() {
    let startup = |retries| Startup {
        check: check(500),
        retries,
        successes: 2,
    };
    let passes = |at, which| which == Which::Startup && at >= 600 || which == Which::Regular;
    let (changes, ..) = run(health(0, Some(startup(0))), 5000, passes);
    // Found once and a second time, and then asked at once.
    assert!(matches!(changes[..], [(600..=1600, Change::Healthy)]), "{changes:?}");
    let (changes, _, state) = run(health(0, Some(startup(4))), 2_100, |_, _| false);
    assert_eq!((changes, state), (vec![(2000, Change::NotStarted(4))], State::Starting));
    assert!(run(health(0, Some(startup(0))), 100_000, |_, _| false).0.is_empty());
}

#[test]
fn a_container_that_starts_can_be_hurried() {
    let begun = Instant::now();
    let mut course = Course::new(health(0, None), begun);
    course.hurry(begun);
    assert_eq!(course.due(), begun);
    course.take(true, begun, begun);
    course.hurry(begun);
    assert_eq!(course.due(), begun + Duration::from_secs(1));
}
