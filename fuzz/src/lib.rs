//! What several fuzz targets share: a reader of choices from bytes, and JSON that looks like Kubernetes objects.
use serde_json::{Map, Value};

/// Choices, made by the bytes of the fuzzer.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// From the fuzzer's bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte; zeros when there are no more, so that everything built from it ends.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// One of several.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Whether there is anything left to choose by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// Field names: of what the objects under test have, of directives, and of nothing.
const KEYS: &[&str] = &[
    "metadata", "spec", "status", "labels", "annotations", "finalizers", "ownerReferences", "name", "uid", "data", "template",
    "containers", "env", "ports", "containerPort", "port", "protocol", "image", "args", "value", "valueFrom", "volumes", "volumeMounts",
    "mountPath", "selector", "matchLabels", "replicas", "conditions", "type", "tolerations", "key", "resources", "limits", "cpu",
    "strategy", "rollingUpdate", "maxSurge", "$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers",
    "managedFields", "f:data", "k:{\"name\":\"c\"}", "a", "b", "",
];
const TEXTS: &[&str] = &[
    "", "a", "b", "c", "1", "100m", "64Mi", "30%", "TCP", "UDP", "replace", "delete", "merge", "True", "v1", "apps/v1", "e.x/f", "\u{7f}é",
];

/// JSON that is mostly made of fields that Kubernetes objects have.
pub fn json(choices: &mut Choices<'_>, depth: usize) -> Value {
    let kinds = if depth == 0 { 6 } else { 12 };
    match choices.below(kinds) {
        0 => Value::Null,
        1 => Value::Bool(choices.byte() & 1 == 1),
        2 => i64::from(choices.byte()).into(),
        3 => choices.one(&[0.5, -1.0, 1e300, 80.0]).into(),
        4 | 5 => choices.one(TEXTS).into(),
        6..=8 => (0..choices.below(4)).map(|_| json(choices, depth - 1)).collect(),
        _ => Value::Object(fields(choices, depth)),
    }
}

fn fields(choices: &mut Choices<'_>, depth: usize) -> Map<String, Value> {
    (0..choices.below(6))
        .map(|_| (choices.one(KEYS).to_owned(), json(choices, depth - 1)))
        .collect()
}

/// What fields of kinds take that have names of their own for it.
const WORDS: &[&str] = &[
    "Always", "Never", "OnFailure", "IfNotPresent", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "None", "In", "NotIn", "Exists",
    "DoesNotExist", "Gt", "Lt", "Equal", "NoSchedule", "NoExecute", "RollingUpdate", "Recreate", "OnDelete", "HTTP", "HTTPS", "Indexed",
    "FailJob", "Ignore", "Count", "Allow", "Forbid", "Pods", "Percent", "Max", "Min", "Utilization", "AverageValue", "Resource", "IPv4", "IPv6",
    "SingleStack", "RequireDualStack", "Local", "Cluster", "ReadWriteOnce", "ReadWriteMany", "Filesystem", "Block", "Immediate", "Retain",
    "10.0.0.1", "fd00::1", "10.0.0.0/16", "*", "/a", "../a", "a/b", "nginx:1", "* * * * *", "@daily", "TZ=x 1 2 3 4 5", "Europe/Berlin", "memory",
    "kubernetes.io/metadata.name", "app", "App_1", "-a", "2026-01-01T00:00:00Z", "0", "-1", "1e3", "1Ki", "100%", "5m", "1.5", "e30=",
    "kubernetes.io/tls", "kubernetes.io/dockerconfigjson", "system:a", "Object", "Namespaced", "kubernetes.io/kube-apiserver-client",
];

/// A value of a type: some of its fields, each of the right type, sometimes what the type does not know.
pub fn typed(choices: &mut Choices<'_>, ty: schema::Type, depth: usize) -> Value {
    use schema::{Scalar, Shape};
    if choices.is_empty() || choices.below(64) == 63 {
        return json(choices, 1);
    }
    match ty.shape() {
        Shape::Object { definition, .. } => {
            if depth == 0 || definition.fields().is_empty() {
                return Value::Object(Map::new());
            }
            let some = (0..choices.below(7)).map(|_| {
                let field = &definition.fields()[choices.below(definition.fields().len())];
                (field.name().to_owned(), typed(choices, field.ty(), depth - 1))
            });
            let mut made: Map<String, Value> = some.collect();
            // What has to be there mostly is: nothing is said of what is below otherwise.
            if choices.below(4) != 0 {
                for field in definition.fields().iter().filter(|f| f.required()) {
                    if !made.contains_key(field.name()) {
                        made.insert(field.name().to_owned(), typed(choices, field.ty(), depth - 1));
                    }
                }
            }
            Value::Object(made)
        }
        Shape::List { item, .. } => (0..choices.below(4)).map(|_| typed(choices, item, depth)).collect(),
        Shape::Map { value, .. } => (0..choices.below(4))
            .map(|_| (word(choices).to_owned(), typed(choices, value, depth)))
            .collect::<Map<_, _>>()
            .into(),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64) => choices.one(&[0, 1, -1, 2, 80, 100, 30000, i64::from(i32::MAX), i64::MAX]).into(),
        Shape::Scalar(Scalar::Float) => choices.one(&[0.0, 0.5, -1.0]).into(),
        Shape::Scalar(Scalar::Bool) => Value::Bool(choices.byte() & 1 == 1),
        Shape::Scalar(Scalar::IntOrString) if choices.byte() & 1 == 1 => choices.one(&[0, 1, 25, 70000]).into(),
        Shape::Scalar(Scalar::FieldsV1 | Scalar::Raw) => json(choices, 3),
        Shape::Scalar(_) => word(choices).into(),
    }
}

fn word(choices: &mut Choices<'_>) -> &'static str {
    if choices.byte() & 1 == 1 { choices.one(WORDS) } else { choices.one(TEXTS) }
}

/// Changes some values of a document to others.
pub fn mutate(choices: &mut Choices<'_>, document: &mut Value) {
    while !choices.is_empty() {
        change(choices, document);
    }
}

/// Goes down to a value and changes it.
fn change(choices: &mut Choices<'_>, value: &mut Value) {
    let down = choices.below(8) != 0;
    let step = usize::from(choices.byte());
    match value {
        Value::Object(map) if down && !map.is_empty() => {
            let nth = step % map.len();
            if let Some(below) = map.values_mut().nth(nth) {
                change(choices, below);
            }
        }
        Value::Array(list) if down && !list.is_empty() => {
            let nth = step % list.len();
            change(choices, &mut list[nth]);
        }
        Value::String(_) => *value = text(choices).into(),
        Value::Number(_) => *value = choices.one(&[0, -1, 1, 1 << 20, i64::MAX, i64::MIN]).into(),
        Value::Bool(b) => *b = !*b,
        _ => *value = json(choices, 2),
    }
}

fn text(choices: &mut Choices<'_>) -> String {
    let length = choices.below(24);
    let bytes: Vec<u8> = (0..length).map(|_| choices.byte()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
