//! `authorizer` (`k8s.io/apiserver/pkg/cel/library/authz.go`).
use std::sync::Arc;

use super::{Done, opaque::Opaque};
use crate::{
    evaluate::{Question, Run, no_overload},
    value::Value,
};

fn with(question: &Arc<Question>, change: impl FnOnce(&mut Question)) -> Arc<Question> {
    let mut changed = (**question).clone();
    change(&mut changed);
    Arc::new(changed)
}

pub fn call<'a>(run: &mut Run<'_, '_, 'a>, name: &str, args: &[Value<'a>]) -> Done<'a> {
    let Some(Value::Opaque(target)) = args.first() else {
        return Err(no_overload());
    };
    let mut texts = Vec::with_capacity(2);
    for arg in &args[1..] {
        let Value::String(text) = arg else {
            return Err(no_overload());
        };
        texts.push((**text).to_owned());
    }
    let made = match (target, name, &texts[..]) {
        (Opaque::Authorizer(q), "path", [path]) => {
            if path.is_empty() {
                return Err("path must not be empty".into());
            }
            Opaque::PathCheck(with(q, |q| q.path = Some(path.clone())))
        }
        (Opaque::Authorizer(q), "group", [group]) => {
            Opaque::GroupCheck(with(q, |q| q.group.clone_from(group)))
        }
        (Opaque::Authorizer(q), "serviceAccount", [namespace, name]) => {
            if !kube_types::is_dns1123_subdomain(name).is_empty() {
                return Err("Invalid service account name".into());
            }
            if !kube_types::is_dns1123_label(namespace).is_empty() {
                return Err("Invalid service account namespace".into());
            }
            Opaque::Authorizer(with(q, |q| q.account = Some((namespace.clone(), name.clone()))))
        }
        (Opaque::GroupCheck(q), "resource", [resource]) => {
            if resource.is_empty() {
                return Err("resource must not be empty".into());
            }
            Opaque::ResourceCheck(with(q, |q| q.resource.clone_from(resource)))
        }
        (Opaque::ResourceCheck(q), "subresource", [text]) => {
            Opaque::ResourceCheck(with(q, |q| q.subresource.clone_from(text)))
        }
        (Opaque::ResourceCheck(q), "namespace", [text]) => {
            Opaque::ResourceCheck(with(q, |q| q.namespace.clone_from(text)))
        }
        (Opaque::ResourceCheck(q), "name", [text]) => {
            Opaque::ResourceCheck(with(q, |q| q.name.clone_from(text)))
        }
        // RBAC decides without selectors.
        (Opaque::ResourceCheck(q), "fieldSelector" | "labelSelector", [_]) => {
            Opaque::ResourceCheck(q.clone())
        }
        (Opaque::PathCheck(q) | Opaque::ResourceCheck(q), "check", [verb]) => {
            let question = with(q, |q| q.verb.clone_from(verb));
            let authorizer = run.authorizer().ok_or("no authorizer is at hand")?;
            Opaque::Decision(Arc::new(authorizer.decide(&question)))
        }
        (Opaque::Decision(d), "allowed", []) => return Ok(Value::Bool(d.allowed)),
        (Opaque::Decision(d), "reason", []) => return Ok(d.reason.as_str().into()),
        (Opaque::Decision(d), "errored", []) => return Ok(Value::Bool(!d.error.is_empty())),
        (Opaque::Decision(d), "error", []) => return Ok(d.error.as_str().into()),
        _ => return Err(no_overload()),
    };
    Ok(Value::Opaque(made))
}
