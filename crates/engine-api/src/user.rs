//! Who makes a request.
use std::collections::BTreeMap;

/// An authenticated user (`authentication/user.Info`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Name, such as `system:serviceaccount:default:web`.
    pub name: String,
    /// Uid; only service accounts have one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Whatever else the authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
    /// Whether it is a part of the engine itself, of which no node is suspected.
    pub is_own: bool,
}

/// The user of requests without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of whoever has shown credentials.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of whoever has not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of those who may do everything.
pub const MASTERS: &str = "system:masters";

impl User {
    /// A user with these groups and `system:authenticated`.
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self {
            name: name.into(),
            groups,
            ..Self::default()
        }
    }

    /// Nobody.
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// Whether this is the engine's administrator.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == MASTERS)
    }
}
