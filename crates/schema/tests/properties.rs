//! Properties that hold for any object of any kind, made at random from the schema itself.
#![allow(clippy::unwrap_used)] // Helpers outside #[test] functions are not exempt by themselves.

use proptest::{prelude::*, test_runner::Config};
use schema::{Scalar, Shape, Type};
use serde_json::{Map, Value, json};

/// Deep enough for a container's probe in a CronJob.
const DEPTH: usize = 12;

/// A value of a type, from a stream of random numbers: small, sparse, sometimes zero, never null.
fn value(ty: Type, depth: usize, next: &mut dyn FnMut() -> u32) -> Value {
    match ty.shape() {
        Shape::Object { definition, .. } => {
            let mut map = Map::new();
            for field in definition.fields() {
                let wanted = match definition.fields().len() {
                    0..=4 => next().is_multiple_of(2),
                    5..=12 => next().is_multiple_of(4),
                    _ => next().is_multiple_of(8),
                };
                if wanted && depth < DEPTH && !matches!(field.name(), "apiVersion" | "kind") {
                    map.insert(field.name().to_owned(), value(field.ty(), depth + 1, next));
                }
            }
            Value::Object(map)
        }
        Shape::List { item, .. } => (0..next() % 3).map(|_| value(item, depth + 1, next)).collect(),
        Shape::Map { value: inner, .. } => (0..next() % 3)
            .map(|i| (format!("k{i}"), value(inner, depth + 1, next)))
            .collect::<Map<_, _>>()
            .into(),
        Shape::Scalar(scalar) => {
            let n = next();
            match scalar {
                Scalar::String => {
                    json!(["", "a", "b", "TCP", "Always", "ClientIP", "Container", "é\n"][n as usize % 8])
                }
                Scalar::Bytes => json!(["", "YQ==", "/+8="][n as usize % 3]),
                Scalar::Int32 => json!([0, 1, -1, i32::MAX, i32::MIN][n as usize % 5]),
                Scalar::Int64 => json!([0, 1, -1, i64::MAX, i64::MIN][n as usize % 5]),
                Scalar::Float => json!(1.5),
                Scalar::Bool => json!(n.is_multiple_of(2)),
                Scalar::Time => {
                    json!(["2026-11-22T19:00:00Z", "1969-12-31T23:59:59.5+01:00"][n as usize % 2])
                }
                Scalar::MicroTime => {
                    json!(["2026-11-22T19:00:00.000001Z", "1969-12-31T23:59:59.500000+01:00"][n as usize % 2])
                }
                Scalar::Duration => json!("1m30s"),
                Scalar::Quantity => match n % 6 {
                    0 => json!(n % 1000),
                    1 => json!("1.5Gi"),
                    2 => json!("0"),
                    3 => json!("1000m"),
                    4 => json!("0.00001"),
                    _ => json!("2e3"),
                },
                Scalar::IntOrString => {
                    [json!(0), json!(8080), json!("25%"), json!("")][n as usize % 4].clone()
                }
                Scalar::FieldsV1 => json!({"f:a": {}}),
                Scalar::Raw => json!({"x": [1, "y", null]}),
            }
        }
    }
}

fn object() -> impl Strategy<Value = (&'static str, Value)> {
    let kinds = schema::kinds();
    (0..kinds.len(), any::<u64>()).prop_map(|(index, seed)| {
        let kind = &kinds[index];
        let mut state = seed | 1;
        let mut next = move || {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as u32
        };
        let mut object = value(schema::type_of(kind.definition).unwrap(), 0, &mut next);
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        (kind.definition, object)
    })
}

/// Protobuf has no empty lists and maps: what Go always writes is null after a round trip.
fn empty_to_null(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(empty_to_null),
        Value::Object(map) => {
            for value in map.values_mut() {
                if value == &json!([]) || value == &json!({}) {
                    *value = Value::Null;
                }
                empty_to_null(value);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(Config { cases: 512, failure_persistence: None, ..Config::default() })]

    #[test]
    fn normalising_twice_is_normalising_once((definition, mut object) in object()) {
        schema::normalise(definition, &mut object).unwrap();
        prop_assert!(schema::unknown_fields(definition, &object).is_empty());
        let once = object.clone();
        schema::normalise(definition, &mut object).unwrap();
        prop_assert_eq!(object, once);
    }

    #[test]
    fn defaulting_is_idempotent_and_normal((definition, mut object) in object()) {
        schema::normalise(definition, &mut object).unwrap();
        schema::set_defaults(definition, &mut object);
        schema::normalise(definition, &mut object).unwrap();
        let once = object.clone();
        schema::set_defaults(definition, &mut object);
        schema::normalise(definition, &mut object).unwrap();
        prop_assert_eq!(object, once);
    }

    #[test]
    fn protobuf_round_trips((definition, mut object) in object()) {
        schema::normalise(definition, &mut object).unwrap();
        let Some(body) = schema::encode_protobuf(&object) else {
            let known = ["AdmissionPolicy", "CustomResourceDefinition"];
            prop_assert!(known.iter().any(|kind| definition.contains(kind)), "{definition}");
            return Ok(());
        };
        let mut decoded = schema::decode_protobuf(&body).unwrap();
        empty_to_null(&mut object);
        empty_to_null(&mut decoded);
        prop_assert_eq!(decoded, object);
    }

    #[test]
    fn documents_of_the_schema_have_no_strict_errors((definition, object) in object()) {
        let text = serde_json::to_vec(&object).unwrap();
        prop_assert_eq!(schema::strict_errors(definition, &text), Vec::<String>::new());
    }

    #[test]
    fn arbitrary_json_never_panics(index in 0..schema::kinds().len(), mut object in json_value()) {
        let definition = schema::kinds()[index].definition;
        schema::set_defaults(definition, &mut object.clone());
        schema::unknown_fields(definition, &object);
        let _ = schema::normalise(definition, &mut object);
    }

    #[test]
    fn arbitrary_protobuf_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut body = b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\xc8\x01".to_vec();
        body.extend(bytes);
        let _ = schema::decode_protobuf(&body);
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let names = [
        "metadata",
        "spec",
        "status",
        "labels",
        "template",
        "containers",
        "resources",
        "limits",
        "ports",
        "data",
        "replicas",
        "strategy",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(
                proptest::sample::select(names.to_vec()).prop_map(str::to_owned),
                inner,
                0..5
            )
            .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}
