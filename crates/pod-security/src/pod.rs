//! What checks look at.
use serde_json::Value;

/// A pod, or the template of one.
#[derive(Clone, Copy)]
pub(crate) struct Pod<'a> {
    pub(crate) metadata: &'a Value,
    pub(crate) spec: &'a Value,
}

/// The strings, numbers and truths of a container, absent ones empty.
#[derive(Clone, Copy)]
pub(crate) struct Container<'a>(pub(crate) &'a Value);

impl<'a> Pod<'a> {
    /// All containers: first those of the start, last those of debugging (`policy/visitor.go`).
    pub(crate) fn containers(self) -> impl Iterator<Item = Container<'a>> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| items(&self.spec[list]))
            .map(Container)
    }

    /// The names of the containers of which something holds.
    pub(crate) fn named(self, holds: impl Fn(Container<'a>) -> bool) -> Vec<&'a str> {
        self.containers()
            .filter(|c| holds(*c))
            .map(Container::name)
            .collect()
    }

    pub(crate) fn context(self) -> &'a Value {
        &self.spec["securityContext"]
    }

    pub(crate) fn annotation(self, key: &str) -> Option<&'a str> {
        self.metadata["annotations"].get(key)?.as_str()
    }

    pub(crate) fn is_windows(self) -> bool {
        self.spec["os"]["name"] == "windows"
    }

    /// Root in such a pod is nobody on its node (`policy/helpers.go` relaxPolicyForUserNamespacePod).
    pub(crate) fn has_own_users(self) -> bool {
        self.spec["hostUsers"] == false
    }
}

impl<'a> Container<'a> {
    pub(crate) fn name(self) -> &'a str {
        text(&self.0["name"])
    }

    pub(crate) fn context(self) -> &'a Value {
        &self.0["securityContext"]
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
