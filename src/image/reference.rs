//! Image references: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.
//!
//! They are read and completed as the whole container world does (the grammar of distribution/reference): a first
//! component without dot, colon or the name `localhost` belongs to docker.io, a single component there lies below
//! `library/`, and without tag and digest the tag is `latest`. Two references are the same image name exactly if their
//! canonical forms, which [`Display`](std::fmt::Display) writes, are equal.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::image::digest::{Digest, DigestError};

/// A complete reference: there is always a tag or a digest, often one, sometimes both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("the image reference is empty")]
    Empty,
    /// Longer than anything that a registry accepts.
    #[error("the image reference is longer than 255 characters")]
    TooLong,
    /// The part in front of the first slash.
    #[error("'{0}' is not a registry: expected HOST or HOST:PORT")]
    Registry(String),
    /// The path.
    #[error("'{0}' is not a repository: expected lower-case letters and digits, separated by '.', '_', '-' or '/'")]
    Repository(String),
    /// The part behind the colon.
    #[error("'{0}' is not a tag: expected up to 128 letters, digits, '_', '.' and '-'")]
    Tag(String),
    /// The part behind the `@`.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl Reference {
    /// The registry's host, with its port if one was given.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if it is not by digest alone.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that the image must have.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        if rest.len() > 255 {
            return Err(ReferenceError::TooLong);
        }
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon in front of a slash is the port of a registry.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(ReferenceError::Tag(tag.to_owned()));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((host, path)) if names_a_host(host) => (host, path.to_owned()),
            _ => ("docker.io", name.to_owned()),
        };
        let registry = if registry == "index.docker.io" {
            "docker.io"
        } else {
            registry
        };
        if !is_registry(registry) {
            return Err(ReferenceError::Registry(registry.to_owned()));
        }
        // A bare 64-character hexadecimal name is an image's identifier everywhere else, never a repository.
        let is_identifier = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        if is_identifier || !repository.split('/').all(is_component) {
            return Err(ReferenceError::Repository(repository));
        }
        let repository = match registry {
            "docker.io" if !repository.contains('/') => format!("library/{repository}"),
            _ => repository,
        };
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some("latest".to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether the first component is a registry rather than the begin of a path.
fn names_a_host(component: &str) -> bool {
    component == "localhost" || component.contains(['.', ':']) || component.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| port.is_empty() || port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let word = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let bytes = text.as_bytes();
    if !bytes.first().copied().is_some_and(word) || !bytes.last().copied().is_some_and(word) {
        return false;
    }
    bytes.split(|b| word(*b)).all(|separator| match separator {
        [] | b"." | b"_" | b"__" => true,
        dashes => dashes.iter().all(|b| *b == b'-'),
    })
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

    use super::Reference;

    fn canonical(text: &str) -> String {
        match text.parse::<Reference>() {
            Ok(reference) => reference.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn completed_as_the_container_world_does() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, expected) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("docker.io/library/nginx:1.27", "docker.io/library/nginx:1.27"),
            ("user/app", "docker.io/user/app:latest"),
            ("localhost/x:1", "localhost/x:1"),
            ("localhost", "docker.io/library/localhost:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("quay.io/a/b/c-d__e.f:v1_2-x", "quay.io/a/b/c-d__e.f:v1_2-x"),
            ("Registry/app", "Registry/app:latest"),
            ("web:80", "docker.io/library/web:80"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
        assert_eq!(
            canonical(&format!("nginx@{digest}")),
            format!("docker.io/library/nginx@{digest}")
        );
        assert_eq!(canonical(&format!("a.b/c:d@{digest}")), format!("a.b/c:d@{digest}"));
    }

    #[test]
    fn refuses_what_is_no_reference() {
        let long = "a".repeat(256);
        let identifier = "0".repeat(64);
        for text in [
            "",
            ":",
            "/",
            "@",
            "a:",
            "a@",
            "a@sha256:00",
            ":tag",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "Nginx",
            "a b",
            "a:b:c",
            "a:-x",
            "a.b:x/c",
            "a.b:/c",
            ".a.b/c",
            "-a.b/c",
            "a..b",
            "a___b",
            "a_",
            "_a",
            "[::1/a",
            "[zz]/a",
            "a\n",
            "ä",
            "http://a/b",
            "a?b",
            &long,
            &identifier,
        ] {
            assert!(
                text.parse::<Reference>().is_err(),
                "'{text}' was taken as {}",
                canonical(text)
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn never_panics_and_canonical_is_a_fixed_point(text in ".{0,80}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }

        #[test]
        fn well_formed_is_kept(
            host in "[a-z]{1,5}\\.[a-z]{2,3}(:[0-9]{1,4})?",
            path in "[a-z0-9]{1,6}(/[a-z0-9]{1,6}([._-][a-z0-9]{1,3})?){0,3}",
            tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
        ) {
            let text = format!("{host}/{path}:{tag}");
            prop_assert_eq!(canonical(&text), text);
        }
    }
}
