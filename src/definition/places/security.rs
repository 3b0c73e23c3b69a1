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
    // SELinux's own files are out of sight of systemd's generators, which its policies confine; what this process is called is not.
    match fs::read(root.join("proc/self/attr/current")) {
        Ok(label) if is_context(&label) => SecurityModule::Selinux,
        _ => SecurityModule::None,
    }
}

/// Whether it is written as SELinux's contexts are, USER:ROLE:TYPE and maybe :LEVEL. Without a policy everything is called `kernel`.
fn is_context(label: &[u8]) -> bool {
    label.iter().filter(|&&byte| byte == b':').count() >= 2
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
        let attributes = root.path().join("proc/self/attr");
        fs::create_dir_all(&attributes).unwrap();
        fs::write(parameters.join("enabled"), "N\n").unwrap();
        assert_eq!(find(root.path()), SecurityModule::None);
        fs::write(attributes.join("current"), "kernel\0").unwrap();
        assert_eq!(find(root.path()), SecurityModule::None);
        let own = "system_u:system_r:systemd_generator_t:s0\0";
        fs::write(attributes.join("current"), own).unwrap();
        assert_eq!(find(root.path()), SecurityModule::Selinux);
        fs::write(parameters.join("enabled"), "Y\n").unwrap();
        assert_eq!(find(root.path()), SecurityModule::AppArmor);
    }
}
