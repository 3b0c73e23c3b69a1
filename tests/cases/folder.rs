//! Cases are folders, and bear their names.

use std::path::{Path, PathBuf};

/// All that is in `tests/KIND`, in the order of the names: what lies there by mistake is a case that fails.
pub(crate) fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(kind);
    let mut cases: Vec<_> = std::fs::read_dir(&folder)
        .expect("listing the cases")
        .map(|entry| entry.expect("listing the cases").path())
        .collect();
    cases.sort();
    cases
}

/// The name of a case.
pub(crate) fn name(case: &Path) -> &str {
    let name = case.file_name().expect("a case is a folder");
    name.to_str().expect("a case's name is plain text")
}
