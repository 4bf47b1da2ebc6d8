//! What patches are made of.
use super::*;

fn patching() -> Environment {
    environment(&Type::Dyn).with_patches()
}

fn made(source: &str) -> Result<Value<'static>, String> {
    static NOTHING: Json = Json::Null;
    let program = patching()
        .compile(source)
        .map_err(|issues| issues[0].message.clone())?;
    let (result, _) = program.run(&Here(&NOTHING, Type::Dyn), PER_CALL);
    result.map_err(|failure| failure.message().to_owned())
}

#[test]
fn objects_are_made_by_the_names_of_their_fields() {
    let source = "Object{spec: Object.spec{replicas: 1 + 1, ?gone: optional.none(), template: {'a': [Object.spec.template{b: 1}]}}}";
    assert_eq!(patching().compile(source).unwrap().kind(), &patched_type());
    let value = made(source).unwrap();
    assert_eq!(
        value.json().unwrap(),
        json!({"spec": {"replicas": 2, "template": {"a": [{"b": 1}]}}})
    );
    let Value::Struct(object) = value else {
        panic!("{value:?}")
    };
    assert!(object.misnamed().is_empty());
    let Value::Struct(wrong) = made("Object{spec: Object.other{}}").unwrap() else {
        panic!("an object");
    };
    assert_eq!(
        wrong.misnamed(),
        [
            "unexpected type name \"Object.other\", expected \"Object.spec\", which matches field name path from root Object type"
        ]
    );
    for (source, is) in [
        ("Object{a: 1}.a", json!(1)),
        ("has(Object{a: 1}.a) && !has(Object{a: 1}.b)", json!(true)),
        (
            "Object{a: 1} == Object{a: 1} && Object{a: 1} != Object{a: 2}",
            json!(true),
        ),
    ] {
        assert_eq!(made(source).unwrap().json().unwrap(), is, "{source}");
    }
}

#[test]
fn steps_of_a_json_patch_are_typed() {
    let source =
        "true ? [JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('x/y~z'), value: {'b': 1}}] : []";
    let program = patching().compile(source).unwrap();
    assert_eq!(program.kind(), &Type::list(json_patch_type()));
    assert_eq!(program.kind().to_string(), "list(JSONPatch)");
    assert_eq!(
        made(source).unwrap().json().unwrap(),
        json!([{"op": "add", "path": "/a/x~1y~0z", "value": {"b": 1}}])
    );
    for (source, message) in [
        (
            "JSONPatch{op: 1}",
            "expected type of field 'op' is 'string' but provided type is 'int'",
        ),
        (
            "JSONPatch{other: 1}",
            "expected type of field 'other' is '' but provided type is 'int'",
        ),
        ("Thing{a: 1}", "undeclared reference to 'Thing' (in container '')"),
    ] {
        assert_eq!(made(source).map(|_| ()).unwrap_err(), message, "{source}");
    }
    // Others than those who patch know nothing of them.
    assert!(environment(&Type::Dyn).compile("Object{a: 1}").is_err());
}
