//! The Kubernetes OpenAPI data and what is derived from it; pure.
use serde_json::Value;

/// One API resource the engine serves.
#[derive(Debug, Clone)]
pub struct KindInfo {
    /// API group, empty for core.
    pub group: &'static str,
    /// API version, such as `v1`.
    pub version: &'static str,
    /// Kind, such as `Pod`.
    pub kind: &'static str,
    /// Plural resource name, such as `pods`.
    pub plural: &'static str,
    /// Singular resource name, such as `pod`.
    pub singular: &'static str,
    /// Short names, such as `po`.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Subresources with their own endpoint: `status`, `scale`, `log`, `exec`, `eviction`, `token`, …
    pub subresources: &'static [&'static str],
    /// Verbs as discovery lists them.
    pub verbs: &'static [&'static str],
    /// OpenAPI definition name, such as `io.k8s.api.core.v1.Pod`.
    pub definition: &'static str,
}

impl KindInfo {
    /// `group/version`, or just the version for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// What is wrong with an object that does not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// The message as upstream words it, such as `json: cannot unmarshal string into Go struct field …`.
    pub message: String,
}

/// All kinds, in discovery order.
pub fn kinds() -> &'static [KindInfo] {
    &[]
}

/// The resource served at this group, version and plural.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static KindInfo> {
    kinds().iter().find(|k| k.group == group && k.version == version && k.plural == plural)
}

/// The resource of this group, version and kind.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static KindInfo> {
    kinds().iter().find(|k| k.group == group && k.version == version && k.kind == kind)
}

/// Fill in every default that upstream would (`SetDefaults_*` and `+default`), in place. `definition` is an OpenAPI
/// definition name; idempotent.
pub fn set_defaults(_definition: &str, _object: &mut Value) {}

/// Unknown fields, as upstream words them: `unknown field "spec.containers[0].imagee"`, in document order.
pub fn unknown_fields(_definition: &str, _object: &Value) -> Vec<String> {
    Vec::new()
}

/// Drop unknown fields and null values that Go's decoder would not keep; fail where a value has the wrong JSON type.
pub fn normalise(_definition: &str, _object: &mut Value) -> Result<(), DecodeError> {
    Ok(())
}

/// A node of the schema: an object with fields, a list, a map or a scalar.
#[derive(Debug, Clone, Copy)]
pub struct Type(pub &'static str);

/// A Kubernetes protobuf body (with the `k8s\0` magic) to the JSON object it stands for, apiVersion and kind included.
pub fn decode_protobuf(_bytes: &[u8]) -> Result<Value, DecodeError> {
    Err(DecodeError { message: "protobuf is not supported yet".to_owned() })
}

/// JSON object to a Kubernetes protobuf body with the `k8s\0` magic. `None` when the kind has no protobuf form.
pub fn encode_protobuf(_object: &Value) -> Option<Vec<u8>> {
    None
}

/// The OpenAPI v3 document of a group version (`api/v1`, `apis/apps/v1`) as JSON text.
pub fn openapi_v3(_group_version_path: &str) -> Option<Vec<u8>> {
    None
}
