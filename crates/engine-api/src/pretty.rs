//! JSON for people: indented, and in the order in which Go's structs have their fields (apiserver
//! `endpoints/handlers/negotiation`: asked for by a parameter, or by a browser, curl or Wget).
use http::{Response, header};
use http_body_util::BodyExt;
use schema::{Shape, Type};
use serde_json::{Map, Value};

use crate::{
    answer::{Body, full},
    api::Call,
};

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const PEOPLE: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

/// Whether this answer is read by a person.
pub fn wanted(call: &Call) -> bool {
    // What streams is not held up, and a root document is always indented.
    if call.route.verb == "watch" || call.query.truth("watch") {
        return false;
    }
    if call.route.path == "/" {
        return true;
    }
    if call.query.get("pretty").is_some() {
        return call.query.truth("pretty");
    }
    let agent = call.headers.get(header::USER_AGENT);
    let agent = agent.and_then(|v| v.to_str().ok()).unwrap_or_default();
    PEOPLE.iter().any(|name| agent.starts_with(name))
}

/// The same answer, indented, if it is one whole JSON document.
pub async fn indent(response: Response<Body>) -> Response<Body> {
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v == "application/json");
    if !json {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(bytes) = body.collect().await else {
        return Response::from_parts(parts, full(""));
    };
    let bytes = bytes.to_bytes();
    let text = match serde_json::from_slice::<Value>(&bytes) {
        // The version is indented as it comes.
        Ok(value) if bytes.first() == Some(&b'{') && bytes.get(1) != Some(&b'\n') => {
            let mut out = String::new();
            write(&mut out, &value, type_of(&value), 0);
            out.into()
        }
        _ => bytes,
    };
    Response::from_parts(parts, full(text))
}

/// The type of a whole object.
fn type_of(value: &Value) -> Option<Type> {
    let part = |field: &str| value[field].as_str().unwrap_or_default();
    if part("kind") == "Status" {
        return schema::type_of(STATUS);
    }
    let (group, version) = part("apiVersion")
        .split_once('/')
        .unwrap_or(("", part("apiVersion")));
    let kind = schema::by_kind(group, version, part("kind"))?;
    schema::type_of(kind.definition)
}

fn write(out: &mut String, value: &Value, ty: Option<Type>, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let ty = ty.or_else(|| type_of(value));
            out.push('{');
            for (n, (key, value)) in ordered(map, ty).into_iter().enumerate() {
                line(out, n, depth + 1);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                write(out, value, ty.and_then(|ty| ty.child(key)), depth + 1);
            }
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
            out.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                line(out, n, depth + 1);
                write(out, item, ty.and_then(Type::item), depth + 1);
            }
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// An object of this definition in one line, as Go's structs write it, but for the objects that a merge patch looks into: those have
/// been maps in between, which are written in the order of their keys.
pub fn compact(value: &Value, definition: &str, touched: &Value) -> String {
    let mut out = String::new();
    write_compact(&mut out, value, schema::type_of(definition), Some(touched));
    // As Go escapes what might get into a page.
    out.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn write_compact(out: &mut String, value: &Value, ty: Option<Type>, touched: Option<&Value>) {
    match value {
        Value::Object(map) => {
            let touched = touched.filter(|touched| touched.is_object());
            let mut fields = ordered(map, ty);
            if touched.is_some() {
                fields.sort_by_key(|(key, _)| *key);
            }
            out.push('{');
            for (n, (key, value)) in fields.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                let touched = touched.and_then(|touched| touched.get(key));
                write_compact(out, value, ty.and_then(|ty| ty.child(key)), touched);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                let touched = touched.and_then(|touched| touched.get(n.to_string()));
                write_compact(out, item, ty.and_then(Type::item), touched);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn line(out: &mut String, n: usize, depth: usize) {
    if n > 0 {
        out.push(',');
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// The fields of a struct as it declares them, the keys of a map as they are.
fn ordered(map: &Map<String, Value>, ty: Option<Type>) -> Vec<(&String, &Value)> {
    let declared = ty.filter(|ty| matches!(ty.shape(), Shape::Object { .. }));
    let whole = map.contains_key("kind") && map.contains_key("apiVersion");
    let mut fields: Vec<_> = map.iter().collect();
    fields.sort_by_key(|(key, _)| match key.as_str() {
        "kind" if whole => (0, [0; 2]),
        "apiVersion" if whole => (1, [0; 2]),
        key => match declared.and_then(|ty| ty.field(key)) {
            Some(field) => (2, field.order()),
            None if key == "metadata" && whole => (2, [0; 2]),
            None => (3, [0; 2]),
        },
    });
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_come_as_go_declares_them() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"b": "1", "a": "2"}, "name": "p"},
            "spec": {"restartPolicy": "Never", "containers": [{"image": "i", "name": "c", "ports": []}]}, "status": {}});
        let mut out = String::new();
        write(&mut out, &pod, type_of(&pod), 0);
        assert_eq!(
            out,
            r#"{
  "kind": "Pod",
  "apiVersion": "v1",
  "metadata": {
    "name": "p",
    "labels": {
      "a": "2",
      "b": "1"
    }
  },
  "spec": {
    "containers": [
      {
        "name": "c",
        "image": "i",
        "ports": []
      }
    ],
    "restartPolicy": "Never"
  },
  "status": {}
}"#
        );
    }
}
