//! What the payload and its files are called to the host's security module.
//!
//! A label that the definition names either applies or the container does not start. The profile that Coracle brings is another layer over
//! what holds without it, so where it is not loaded the container starts as it is. It is left out too where a definition opens what the profile
//! closes: `Unmask=`, and mounts in a user namespace of its own, which are nobody else's.

use anyhow::{Context as _, Result, bail};

use crate::definition::label::{AppArmor, Labels, SecurityModule};
use crate::definition::{Container, UserNamespace, volume};
use crate::plan::specifier::Specifiers;
use crate::sys::capability::Mask;

/// The profile that Coracle brings (packaging/apparmor).
pub const DEFAULT_PROFILE: &str = "coracle-default";

/// The types that the container world's policy has for what nothing else is said of.
const PROCESS_TYPE: &str = "container_t";
const FILE_TYPE: &str = "container_file_t";

/// The level without any category.
const LEVEL: &str = "s0";

/// A label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// AppArmor's.
    AppArmor {
        /// The profile.
        profile: String,
        /// What follows if it is not loaded.
        missing: Missing,
    },
    /// SELinux's contexts.
    Selinux {
        /// Of the processes.
        process: String,
        /// Of the files, through `context=` of their mounts.
        files: String,
    },
}

/// What follows if a profile is not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The container does not start.
    Fails,
    /// It starts without one.
    IsIgnored,
}

/// `CAP_SYS_ADMIN`, the right to mount.
const CAP_SYS_ADMIN: Mask = 1 << 21;

/// The label of `container`, whose payload can have `capabilities`, on a host with `module`.
///
/// # Errors
/// It names a label that this host's module does not have, or a specifier that does not exist.
pub fn label(
    container: &Container,
    capabilities: Mask,
    module: SecurityModule,
    specifiers: &Specifiers<'_>,
) -> Result<Option<Label>> {
    let labels = &container.security_labels;
    let profile = match (&labels.app_armor, module) {
        (AppArmor::Profile(name), SecurityModule::AppArmor) => Some(Label::AppArmor {
            profile: specifiers.expand(name).context("expanding 'AppArmor'")?,
            missing: Missing::Fails,
        }),
        (AppArmor::Profile(name), _) => bail!(
            "AppArmor is not in use on this host, so the profile '{name}' cannot apply: enable AppArmor and reload, or \
             remove 'AppArmor'"
        ),
        (AppArmor::Default, SecurityModule::AppArmor) if !opens(container, capabilities) => Some(Label::AppArmor {
            profile: DEFAULT_PROFILE.to_owned(),
            missing: Missing::IsIgnored,
        }),
        (AppArmor::Default | AppArmor::Unconfined, _) => None,
    };
    let named = [
        ("SecurityLabelType", &labels.selinux_type),
        ("SecurityLabelLevel", &labels.selinux_level),
        ("SecurityLabelFileType", &labels.selinux_file_type),
    ];
    let named = named.iter().find(|(_, value)| value.is_some());
    match named {
        Some((key, _)) if !labels.selinux_disabled && module != SecurityModule::Selinux => bail!(
            "SELinux is not in use on this host, so '{key}' cannot apply: enable SELinux and reload, remove '{key}', or set \
             'SecurityLabelDisable' to true"
        ),
        Some(_) if !labels.selinux_disabled => {
            let part = |value: &Option<String>, default: &str| value.as_deref().unwrap_or(default).to_owned();
            let level = part(&labels.selinux_level, LEVEL);
            let process = part(&labels.selinux_type, PROCESS_TYPE);
            let files = part(&labels.selinux_file_type, FILE_TYPE);
            Ok(Some(Label::Selinux {
                process: format!("system_u:system_r:{process}:{level}"),
                files: format!("system_u:object_r:{files}:{level}"),
            }))
        }
        _ => Ok(profile),
    }
}

/// The SELinux context of a volume's files, if it is to have another one than it has. It is the same for all containers with `z`, and with `Z` that
/// of this one's own files: other containers can read them if they have its level.
#[must_use]
pub fn of_volume(label: volume::Label, labels: &Labels) -> Option<String> {
    let level = match label {
        volume::Label::Kept => return None,
        volume::Label::OfContainers => None,
        volume::Label::OfThisOne => labels.selinux_level.as_deref(),
    };
    let kind = labels.selinux_file_type.as_deref().filter(|_| !labels.selinux_disabled);
    let level = level.filter(|_| !labels.selinux_disabled);
    let (kind, level) = (kind.unwrap_or(FILE_TYPE), level.unwrap_or(LEVEL));
    Some(format!("system_u:object_r:{kind}:{level}"))
}

/// Whether a definition asks for what the default profile would take away again.
fn opens(container: &Container, capabilities: Mask) -> bool {
    let mounts = capabilities & CAP_SYS_ADMIN != 0 && container.user_namespace != UserNamespace::Host;
    mounts || !container.unmask.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{CAP_SYS_ADMIN, Label, Missing, label, of_volume};
    use crate::definition::label::{AppArmor, Labels, SecurityModule};
    use crate::definition::{Container, UserNamespace, volume};
    use crate::plan::specifier::Specifiers;

    fn of(container: &Container, capabilities: u64, module: SecurityModule) -> Result<Option<Label>, String> {
        let specifiers = Specifiers::of_unit("web.service");
        label(container, capabilities, module, &specifiers).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_profile_is_for_what_opens_nothing() {
        let mut container = Container::default();
        let is_confined = |container: &Container, capabilities| {
            let label = of(container, capabilities, SecurityModule::AppArmor).unwrap();
            matches!(
                label,
                Some(Label::AppArmor {
                    missing: Missing::IsIgnored,
                    ..
                })
            )
        };
        assert!(is_confined(&container, 0) && !is_confined(&container, CAP_SYS_ADMIN));
        assert_eq!(of(&container, 0, SecurityModule::None), Ok(None));
        assert_eq!(of(&container, 0, SecurityModule::Selinux), Ok(None));
        container.user_namespace = UserNamespace::Host;
        assert!(is_confined(&container, CAP_SYS_ADMIN));
        container.unmask = vec!["ALL".to_owned()];
        assert!(!is_confined(&container, 0));
    }

    #[test]
    fn volumes_are_labelled_as_they_ask_to_be() {
        let mut labels = Labels::default();
        let of = |label, labels: &Labels| of_volume(label, labels).unwrap_or_default();
        assert_eq!(of(volume::Label::Kept, &labels), "");
        let shared = "system_u:object_r:container_file_t:s0";
        for label in [volume::Label::OfContainers, volume::Label::OfThisOne] {
            assert_eq!(of(label, &labels), shared);
        }
        labels.selinux_level = Some("s0:c1,c2".to_owned());
        assert_eq!(of(volume::Label::OfContainers, &labels), shared);
        assert_eq!(of(volume::Label::OfThisOne, &labels), format!("{shared}:c1,c2"));
        labels.selinux_file_type = Some("svirt_image_t".to_owned());
        assert_eq!(
            of(volume::Label::OfContainers, &labels),
            "system_u:object_r:svirt_image_t:s0"
        );
        labels.selinux_disabled = true;
        assert_eq!(of(volume::Label::OfThisOne, &labels), shared);
    }

    #[test]
    fn what_is_named_applies_or_fails() {
        let mut container = Container::default();
        container.security_labels.app_armor = AppArmor::Profile("mine-%N".to_owned());
        let mine = Label::AppArmor {
            profile: "mine-web".to_owned(),
            missing: Missing::Fails,
        };
        assert_eq!(of(&container, 0, SecurityModule::AppArmor), Ok(Some(mine)));
        assert!(
            of(&container, 0, SecurityModule::None)
                .unwrap_err()
                .contains("'mine-%N'")
        );
        container.security_labels.app_armor = AppArmor::Unconfined;
        assert_eq!(of(&container, 0, SecurityModule::AppArmor), Ok(None));
        container.security_labels.selinux_level = Some("s0:c1,c2".to_owned());
        let contexts = Label::Selinux {
            process: "system_u:system_r:container_t:s0:c1,c2".to_owned(),
            files: "system_u:object_r:container_file_t:s0:c1,c2".to_owned(),
        };
        assert_eq!(of(&container, 0, SecurityModule::Selinux), Ok(Some(contexts)));
        assert!(
            of(&container, 0, SecurityModule::AppArmor)
                .unwrap_err()
                .contains("SecurityLabelLevel")
        );
        container.security_labels.selinux_disabled = true;
        assert_eq!(of(&container, 0, SecurityModule::AppArmor), Ok(None));
    }
}
