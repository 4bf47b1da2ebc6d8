//! Rules as apiextensions-apiserver has them (`pkg/apiserver/schema/cel/validation_test.go`, `pkg/apis/apiextensions/validation`).
use serde_json::{Value, json};

use super::{Rules, check};

/// The schema of an object whose `spec` is this.
fn spec(schema: Value) -> Value {
    json!({"type": "object", "properties": {"spec": schema}})
}

fn faults(schema: &Value, new: &Value, old: Option<&Value>) -> Vec<String> {
    let rules = Rules::of(schema).expect("rules");
    let verdict = rules.validate(new, old);
    verdict
        .faults
        .into_iter()
        .map(|f| format!("{}: {} ({})", f.field, f.message, f.reason))
        .collect()
}

fn ruled(mut schema: Value, rules: Value) -> Value {
    schema["x-kubernetes-validations"] = rules;
    schema
}

#[test]
fn words_of_rules() {
    let replicas = || json!({"type": "object", "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"}}});
    let of = |rule: Value, value: Value| {
        faults(
            &spec(ruled(replicas(), json!([rule]))),
            &json!({"spec": value}),
            None,
        )
    };
    // Whoever defines it is told.
    assert_eq!(of(json!({"rule": " "}), json!({"min": 1})), [""; 0]);
    assert_eq!(
        of(
            json!({"rule": "self.min <= self.max"}),
            json!({"min": 1, "max": 2})
        ),
        [""; 0]
    );
    assert_eq!(
        of(
            json!({"rule": "self.min <= self.max"}),
            json!({"min": 3, "max": 2})
        ),
        ["spec: Invalid value: failed rule: self.min <= self.max (FieldValueInvalid)"]
    );
    assert_eq!(
        of(
            json!({"rule": "self.min <= self.max", "message": "min first"}),
            json!({"min": 3, "max": 2})
        ),
        ["spec: Invalid value: min first (FieldValueInvalid)"]
    );
    assert_eq!(
        of(
            json!({"rule": "self.min <= self.max", "messageExpression": "'%d is more than %d'.format([self.min, self.max])",
                "message": "unused", "fieldPath": ".min", "reason": "FieldValueForbidden"}),
            json!({"min": 3, "max": 2})
        ),
        ["spec.min: Forbidden: 3 is more than 2 (FieldValueForbidden)"]
    );
    assert_eq!(
        of(
            json!({"rule": "false", "messageExpression": "self.name", "message": "own", "reason": "FieldValueRequired"}),
            json!({"name": " "})
        ),
        ["spec: Required value: own (FieldValueRequired)"]
    );
    assert_eq!(
        of(json!({"rule": "self.min > 1"}), json!({})),
        [
            "spec: Invalid value: \"object\": no such key: min evaluating rule: self.min > 1 (FieldValueInvalid)"
        ]
    );
    assert_eq!(
        of(
            json!({"rule": "[1,2,3,4,5,6,7,8,9].all(a,[1,2,3,4,5,6,7,8,9].all(b,[1,2,3,4,5,6,7,8,9].all(c,[1,2,3,4,5,6,7,8,9].all(d,[1,2,3,4,5,6,7,8,9].all(e,[1,2,3,4,5,6,7,8,9].all(f,true))))))", "message": "dear"}),
            json!({})
        ),
        [
            "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due \
          to call cost exceeds limit for rule: dear (FieldValueInvalid)"
        ]
    );
    let scalar = spec(ruled(
        json!({"type": "string"}),
        json!([{"rule": "self.startsWith('a')"}]),
    ));
    assert_eq!(
        faults(&scalar, &json!({"spec": "b"}), None),
        ["spec: Invalid value: \"b\": failed rule: self.startsWith('a') (FieldValueInvalid)"]
    );
    let root = ruled(
        json!({"type": "object"}),
        json!([{"rule": "self.metadata.name.startsWith('a') && self.kind == 'K'"}]),
    );
    assert_eq!(
        faults(&root, &json!({"kind": "K", "metadata": {"name": "b"}}), None),
        [
            "<nil>: Invalid value: failed rule: self.metadata.name.startsWith('a') && self.kind == 'K' (FieldValueInvalid)"
        ]
    );
    let either = spec(ruled(
        json!({"x-kubernetes-int-or-string": true}),
        json!([{"rule": "self > 5"}]),
    ));
    assert_eq!(
        faults(&either, &json!({"spec": "x"}), None),
        [
            "spec: Invalid value: \"\": 'no such overload': call arguments did not match a supported operator, function or macro signature \
          for rule: self > 5 (FieldValueInvalid)"
        ]
    );
}

#[test]
fn transitions() {
    let fixed = json!([{"rule": "self == oldSelf", "message": "is immutable"}]);
    let schema = spec(
        json!({"type": "object", "properties": {"a": ruled(json!({"type": "string"}), fixed.clone()),
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": ruled(json!({"type": "integer"}), fixed)}}}}}),
    );
    let (old, new) = (json!({"spec": {"a": "x"}}), json!({"spec": {"a": "y"}}));
    assert_eq!(faults(&schema, &new, None), [""; 0]);
    assert_eq!(faults(&schema, &new, Some(&json!({"spec": {}}))), [""; 0]);
    assert_eq!(
        faults(&schema, &new, Some(&old)),
        ["spec.a: Invalid value: \"y\": is immutable (FieldValueInvalid)"]
    );
    let of = |list: Value| json!({"spec": {"list": list}});
    let old = of(json!([{"k": "a", "v": 1}, {"k": "b", "v": 2}]));
    assert_eq!(
        faults(
            &schema,
            &of(json!([{"k": "c", "v": 9}, {"k": "b", "v": 2}])),
            Some(&old)
        ),
        [""; 0]
    );
    assert_eq!(
        faults(
            &schema,
            &of(json!([{"k": "b", "v": 3}, {"k": "a", "v": 1}])),
            Some(&old)
        ),
        ["spec.list[0].v: Invalid value: 3: is immutable (FieldValueInvalid)"]
    );
    let optional = spec(ruled(
        json!({"type": "integer"}),
        json!([{"rule": "oldSelf.hasValue() ? self >= oldSelf.value() : self == 0", "optionalOldSelf": true}]),
    ));
    assert_eq!(faults(&optional, &json!({"spec": 0}), None), [""; 0]);
    assert_eq!(faults(&optional, &json!({"spec": 1}), None).len(), 1);
    assert_eq!(
        faults(&optional, &json!({"spec": 1}), Some(&json!({"spec": 0}))),
        [""; 0]
    );
    assert_eq!(
        faults(&optional, &json!({"spec": 1}), Some(&json!({"spec": 2}))).len(),
        1
    );
}

#[test]
fn what_was_wrong_may_stay_wrong() {
    let schema = spec(json!({"type": "object", "properties": {
        "a": ruled(json!({"type": "string"}), json!([{"rule": "self == 'ok'"}])), "b": {"type": "string"}}}));
    let rules = Rules::of(&schema).expect("rules");
    let (old, new) = (
        json!({"spec": {"a": "bad"}}),
        json!({"spec": {"a": "bad", "b": "new"}}),
    );
    let verdict = rules.validate(&new, Some(&old));
    assert_eq!(verdict.faults, []);
    assert_eq!(
        verdict.warnings,
        ["spec.a: Invalid value: \"bad\": failed rule: self == 'ok'"]
    );
    let worse = json!({"spec": {"a": "worse"}});
    assert_eq!(rules.validate(&worse, Some(&old)).faults.len(), 1);
}

#[test]
fn rules_within_all_of() {
    let schema = spec(json!({"type": "object", "properties": {"a": {"type": "integer"}},
        "allOf": [{"x-kubernetes-validations": [{"rule": "self.a > 1"}]}]}));
    assert_eq!(faults(&schema, &json!({"spec": {"a": 1}}), None).len(), 1);
}

fn wrong(schema: Value) -> Vec<String> {
    let found = check(&spec(schema), "s");
    found
        .into_iter()
        .map(|f| format!("{}: {}", f.field, f.message))
        .collect()
}

#[test]
fn words_of_definitions() {
    let of = |rule: Value| {
        wrong(ruled(
            json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
            json!([rule]),
        ))
    };
    assert_eq!(of(json!({"rule": "self.a > 0"})), [""; 0]);
    assert_eq!(
        of(json!({"rule": "self.b > 0"})),
        [
            "s.properties[spec].x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self.b \\u003e 0\",\"Message\":\"\",\
          \"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:5: \
          undefined field 'b'\n | self.b > 0\n | ....^"
        ]
    );
    assert!(of(json!({"rule": "self.a"}))[0].ends_with("cel expression must evaluate to a bool"));
    assert!(
        of(json!({"rule": "true", "messageExpression": "self.a"}))[0]
            .ends_with("messageExpression must evaluate to a string")
    );
    assert_eq!(
        of(json!({"rule": " "})),
        ["s.properties[spec].x-kubernetes-validations[0].rule: Required value: rule is not specified"]
    );
    assert_eq!(
        of(json!({"rule": "true", "message": "a\nb"})),
        [
            "s.properties[spec].x-kubernetes-validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks"
        ]
    );
    assert_eq!(
        of(json!({"rule": "true", "reason": "X"})),
        [
            "s.properties[spec].x-kubernetes-validations[0].reason: Unsupported value: \"X\": supported values: \"FieldValueDuplicate\", \
          \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\""
        ]
    );
    assert_eq!(
        of(json!({"rule": "true", "fieldPath": ".x"})),
        [
            "s.properties[spec].x-kubernetes-validations[0].fieldPath: Invalid value: \".x\": must be a valid path"
        ]
    );
    assert_eq!(
        of(json!({"rule": "true", "optionalOldSelf": true})),
        [
            "s.properties[spec].x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
        ]
    );
    let lost = json!({"type": "array", "items": ruled(json!({"type": "integer"}), json!([{"rule": "self == oldSelf"}]))});
    assert_eq!(
        wrong(lost),
        [
            "s.properties[spec].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the \
          uncorrelatable portion of the schema within s.properties[spec]"
        ]
    );
}

#[test]
fn rules_that_may_cost_too_much() {
    let words = |list: Value| {
        let rule = json!([{"rule": "self.all(x, self.exists_one(y, x == y))"}]);
        wrong(ruled(list, rule))
    };
    let found = words(json!({"type": "array", "items": {"type": "string"}}));
    let advice = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";
    assert_eq!(
        found[0],
        format!(
            "s.properties[spec].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {advice}"
        )
    );
    assert_eq!(
        found.last().map(String::as_str),
        Some(&*format!(
            "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of \
             more than 100x {advice}"
        ))
    );
    assert_eq!(
        words(json!({"type": "array", "maxItems": 20, "items": {"type": "string", "maxLength": 10}})),
        [""; 0]
    );
    // A cheap rule, but as often as a request has room for it.
    let often = json!({"type": "array", "items": ruled(json!({"type": "string"}), json!([{"rule": "self.matches('^[a-z]+(-[a-z]+)*$')"}]))});
    assert!(wrong(often)[0].contains("exceeds budget"));
    // Istio's: names of labels count for nothing.
    let labels = ruled(
        json!({"type": "object", "maxProperties": 4096, "additionalProperties": {"type": "string", "maxLength": 63}}),
        json!([{"rule": "self.all(key, 0 < size(key) && !key.contains('*'))"}]),
    );
    assert_eq!(wrong(labels), [""; 0]);
}

#[test]
fn a_long_path_with_many_faults_is_told_in_part() {
    let inner = ruled(json!({"type": "integer"}), json!([{"rule": "self > 0"}]));
    let outer =
        json!({"type": "object", "additionalProperties": {"type": "object", "additionalProperties": inner}});
    let many: serde_json::Map<String, Value> = (0..1000).map(|n| (n.to_string(), json!(0))).collect();
    let told = faults(&spec(outer), &json!({"spec": {"k".repeat(100_000): many}}), None);
    let text: usize = told.iter().map(String::len).sum();
    assert!(!told.is_empty() && text < 20_000_000, "{text}");
}

/// To look for each element among all old ones would take 10^9 steps.
#[test]
fn a_long_map_is_found_again() {
    let item = ruled(
        json!({"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}),
        json!([{"rule": "self.v >= oldSelf.v"}]),
    );
    let schema = spec(
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item}),
    );
    let of = |least: usize| -> Value {
        let items = (0..50_000).map(|n| json!({"k": n.to_string(), "v": i32::from(n != least)}));
        json!({"spec": items.collect::<Value>()})
    };
    assert_eq!(
        faults(&schema, &of(49_999), Some(&of(0))),
        ["spec[49999]: Invalid value: failed rule: self.v >= oldSelf.v (FieldValueInvalid)"]
    );
}
