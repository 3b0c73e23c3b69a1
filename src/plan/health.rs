//! What is checked of the payload, with the commands as this start has them.

use anyhow::{Context as _, Result};

use crate::definition::health::{Check, Health};
use crate::plan::specifier::Specifiers;

/// `health` with its specifiers resolved.
///
/// # Errors
/// A specifier that does not exist.
pub fn health(health: &Health, specifiers: &Specifiers<'_>) -> Result<Health> {
    let expanded = |check: &Check, key: &str| -> Result<Check> {
        let words = check.command.iter().map(|word| specifiers.expand(word));
        let command = words.collect::<Result<_, _>>();
        Ok(Check {
            command: command.with_context(|| format!("expanding '{key}'"))?,
            ..check.clone()
        })
    };
    let mut health = health.clone();
    health.check = expanded(&health.check, "HealthCmd")?;
    if let Some(startup) = &mut health.startup {
        startup.check = expanded(&startup.check, "HealthStartupCmd")?;
    }
    Ok(health)
}
