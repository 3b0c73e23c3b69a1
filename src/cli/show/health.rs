//! The lines of `coracle show` that say what is checked.

use crate::definition::health::Health;

/// `HealthCmd` and its family, as they are understood.
pub(super) fn fields(health: &Health) -> Vec<(&'static str, String)> {
    let words = |words: &[String]| {
        words
            .iter()
            .map(|word| format!("{word:?}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let span = |milliseconds: u64| format!("{milliseconds}ms");
    let mut fields = vec![
        ("HealthCmd", words(&health.check.command)),
        ("HealthInterval", span(health.check.interval)),
        ("HealthTimeout", span(health.check.timeout)),
        ("HealthRetries", health.retries.to_string()),
        ("HealthStartPeriod", span(health.start_period)),
    ];
    if let Some(startup) = &health.startup {
        fields.extend([
            ("HealthStartupCmd", words(&startup.check.command)),
            ("HealthStartupInterval", span(startup.check.interval)),
            ("HealthStartupTimeout", span(startup.check.timeout)),
            ("HealthStartupRetries", startup.retries.to_string()),
            ("HealthStartupSuccess", startup.successes.to_string()),
        ]);
    }
    fields.push(("HealthOnFailure", health.on_failure.word().to_owned()));
    fields.push(("HealthMaxLogSize", health.log_size.to_string()));
    fields
}
