//! This machine in the words of the image specification: Go's names for systems and architectures.

/// The architecture that images must be built for to run here, as `GOARCH` says it.
#[must_use]
pub fn architecture() -> &'static str {
    goarch(std::env::consts::ARCH)
}

/// The operating system of every image that can run here.
pub const OS: &str = "linux";

fn goarch(rust: &'static str) -> &'static str {
    match rust {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::goarch;

    #[test]
    fn names_are_those_of_go() {
        assert_eq!(goarch("x86_64"), "amd64");
        assert_eq!(goarch("aarch64"), "arm64");
        assert_eq!(goarch("riscv64"), "riscv64");
        assert_eq!(goarch("s390x"), "s390x");
    }
}
