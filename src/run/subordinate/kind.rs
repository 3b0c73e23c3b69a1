//! Users and groups: all that is done with subordinate identities is done twice, under these names.

/// Identities of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Users.
    Users,
    /// Groups.
    Groups,
}

impl Kind {
    /// The file that says what is lent.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Users => "/etc/subuid",
            Self::Groups => "/etc/subgid",
        }
    }

    /// The options that make getsubids(1) speak of it.
    #[must_use]
    pub const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Users => &[],
            Self::Groups => &["-g"],
        }
    }

    /// The program that has the right to map them.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Users => "newuidmap",
            Self::Groups => "newgidmap",
        }
    }

    /// The key of a definition that maps them.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Users => "UIDMap",
            Self::Groups => "GIDMap",
        }
    }
}
