//! Which security module labels programs on the system below a root: read once a reload, so that no start has to ask.

use std::fs;
use std::path::Path;

use crate::definition::label::SecurityModule;

/// The module that is in use. A kernel that has another one only built in does not count.
#[must_use]
pub fn find(root: &Path) -> SecurityModule {
    let app_armor = fs::read(root.join("sys/module/apparmor/parameters/enabled"));
    if app_armor.is_ok_and(|text| text.starts_with(b"Y")) {
        return SecurityModule::AppArmor;
    }
    match root.join("sys/fs/selinux/enforce").exists() {
        true => SecurityModule::Selinux,
        false => SecurityModule::None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::find;
    use crate::definition::label::SecurityModule;

    #[test]
    fn only_a_module_in_use_counts() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find(root.path()), SecurityModule::None);
        let parameters = root.path().join("sys/module/apparmor/parameters");
        fs::create_dir_all(&parameters).unwrap();
        fs::create_dir_all(root.path().join("sys/fs/selinux")).unwrap();
        fs::write(parameters.join("enabled"), "N\n").unwrap();
        assert_eq!(find(root.path()), SecurityModule::None);
        fs::write(root.path().join("sys/fs/selinux/enforce"), "0").unwrap();
        assert_eq!(find(root.path()), SecurityModule::Selinux);
        fs::write(parameters.join("enabled"), "Y\n").unwrap();
        assert_eq!(find(root.path()), SecurityModule::AppArmor);
    }
}
