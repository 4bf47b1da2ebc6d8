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
