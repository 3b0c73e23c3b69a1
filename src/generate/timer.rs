//! `NAME.timer`, where the definition has a `[Timer]`: it starts the container at its times. systemd.timer(5).

use crate::generate::condition::Conditions;
use crate::generate::draft::Draft;
use crate::generate::service::{self, Lines};
use crate::generate::{Context, unit_section};
use crate::unitfile::UnitFile;

/// Adds the timer's unit to the draft, if there is a `[Timer]`.
pub fn draft(draft: &mut Draft<'_>, context: &Context) {
    let definition = draft.definition();
    if definition.passthrough.timer.is_empty() {
        return;
    }
    let description = format!("{}, timer", unit_section::description(definition));
    let mut unit: Lines<'_> = vec![
        ("Description", description.into()),
        ("SourcePath", unit_section::source_path(definition).into()),
    ];
    unit.extend(Conditions::of(definition, context).of_starters());
    let lines = service::given(&definition.passthrough.timer);
    let mut file = UnitFile::new(service::COMMENT);
    file.section("Unit", service::pairs(&unit));
    file.section("Timer", service::pairs(&lines));
    draft.add(format!("{}.timer", draft.stem), file.into_text());
}
