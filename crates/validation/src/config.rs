//! ConfigMaps and Secrets.
use base64::{Engine, engine::general_purpose::STANDARD};
use kube_types::{is_config_map_key, parse_json_object};
use serde_json::Value;

use crate::field::{Errors, Node, same};

/// `core.MaxSecretSize`.
const LIMIT: usize = 1 << 20;

pub(crate) fn config_map(e: &mut Errors, object: &Node<'_>) {
    let (data, binary) = (object.get("data"), object.get("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        for complaint in is_config_map_key(key) {
            e.invalid_text(&value, key, &complaint);
        }
        if binary.key(key).present() {
            e.invalid_text(&value, key, "duplicate of key present in binaryData");
        }
        size += value.len();
    }
    for (key, value) in binary.entries() {
        for complaint in is_config_map_key(key) {
            e.invalid_text(&value, key, &complaint);
        }
        size += decoded(value.text());
    }
    if size > LIMIT {
        // Upstream's `field.NewPath("")`: the error is about the whole object.
        e.too_long(&object.renamed("[]"), LIMIT);
    }
}

/// The number of bytes that base64 stands for.
fn decoded(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    text.len() / 4 * 3 - padding.min(2)
}

pub(crate) fn secret(e: &mut Errors, object: &Node<'_>) {
    let data = object.get("data");
    let mut size = 0;
    for (key, value) in data.entries() {
        for complaint in is_config_map_key(key) {
            e.invalid_text(&value, key, &complaint);
        }
        size += decoded(value.text());
    }
    if size > LIMIT {
        e.too_long(&data, LIMIT);
    }
    let needed: &[&str] = match object.get("type").text() {
        "kubernetes.io/service-account-token" => {
            let name = object
                .at(&["metadata", "annotations"])
                .key("kubernetes.io/service-account.name");
            if name.is_empty() {
                e.required(&name, "");
            }
            return;
        }
        "kubernetes.io/dockercfg" => return registries(e, &data.key(".dockercfg")),
        "kubernetes.io/dockerconfigjson" => return registries(e, &data.key(".dockerconfigjson")),
        "kubernetes.io/basic-auth" => {
            let fields = ["username", "password"];
            if fields.iter().any(|field| data.key(field).present()) {
                return;
            }
            &["username", "password"]
        }
        "kubernetes.io/ssh-auth" => {
            if data.key("ssh-privatekey").is_empty() {
                e.required(&data.key("ssh-privatekey"), "");
            }
            return;
        }
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => return,
    };
    for field in needed {
        if !data.key(field).present() {
            e.required(&data.key(field), "");
        }
    }
}

/// Credentials of registries: any JSON object. Nothing of it is shown.
fn registries(e: &mut Errors, content: &Node<'_>) {
    if !content.present() {
        return e.required(content, "");
    }
    // Decoding has found it to be base64.
    let bytes = STANDARD.decode(content.text()).unwrap_or_default();
    if let Err(why) = parse_json_object(&bytes) {
        e.invalid_text(content, "<secret contents redacted>", &why);
    }
}

/// What `immutable: true` forbids.
pub(crate) fn immutable(e: &mut Errors, old: &Node<'_>, new: &Node<'_>, fields: &[&str]) {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    if !old.get("immutable").is_true() {
        return;
    }
    if !new.get("immutable").is_true() {
        e.forbidden(&new.get("immutable"), DETAIL);
    }
    for field in fields {
        let value = |object: &Node<'_>| -> Value { object.get(field).value().clone() };
        if !same(&value(new), &value(old)) {
            e.forbidden(&new.get(field), DETAIL);
        }
    }
}
