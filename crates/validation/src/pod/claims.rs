//! Claims of devices: those of the pod, and those of them that a container uses (pkg/apis/core/validation, validatePodResourceClaims and
//! validateResourceClaimNames).
use kube_types::{is_dns1123_label, is_dns1123_subdomain};

use crate::field::{Errors, Node, go_struct, show};

const INTERNAL: [(&str, &str); 3] = [
    ("Name", "name"),
    ("ResourceClaimName", "resourceClaimName"),
    ("ResourceClaimTemplateName", "resourceClaimTemplateName"),
];

pub(super) fn of_pod(e: &mut Errors, claims: &Node<'_>) {
    let mut seen = Vec::new();
    for claim in claims.items() {
        let name = claim.get("name");
        if name.is_empty() {
            e.required(&name, "");
        } else if seen.contains(&name.text()) {
            e.duplicate(&name);
        } else {
            e.complaints(&name, is_dns1123_label(name.text()));
            seen.push(name.text());
        }
        let sources = [
            claim.get("resourceClaimName"),
            claim.get("resourceClaimTemplateName"),
        ];
        let detail = match sources.iter().filter(|source| source.present()).count() {
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            1 => "",
            _ => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        };
        if !detail.is_empty() {
            e.invalid_raw(&claim, &go_struct(&claim, &INTERNAL), detail);
        }
        for source in sources.iter().filter(|source| source.present()) {
            e.complaints(source, is_dns1123_subdomain(source.text()));
        }
    }
}

/// `claims` of a container's resources in a pod with this spec.
pub(super) fn of_container(e: &mut Errors, claims: &Node<'_>, spec: &Node<'_>) {
    let mut known: Vec<&str> = Vec::new();
    for claim in spec.get("resourceClaims").items() {
        known.push(claim.get("name").text());
    }
    known.sort_unstable();
    let mut seen: Vec<String> = Vec::new();
    for claim in claims.items() {
        let (name, request) = (claim.get("name").text(), claim.get("request"));
        if name.is_empty() {
            e.required(&claim, "");
            continue;
        }
        let key = if request.is_empty() {
            name.to_owned()
        } else {
            format!("{name}/{}", request.text())
        };
        let covered = seen.iter().any(|other| other == name);
        if !covered && !request.is_empty() {
            e.complaints(&request, is_dns1123_label(request.text()));
        }
        let overlaps = request.is_empty() && seen.iter().any(|other| other.split('/').next() == Some(name));
        if covered || overlaps {
            e.duplicate_value(&claim, &name.into());
        } else if seen.contains(&key) {
            e.duplicate_value(&claim, &key.as_str().into());
        }
        seen.push(key);
        if !known.contains(&name) {
            let mut detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if known.is_empty() {
                detail += " which is empty";
            } else {
                detail = format!("{detail}: {}", known.join(", "));
            }
            e.not_found_because(&claim, &show(&name.into()), &detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults(spec: Value) -> Vec<String> {
        let mut errors = Errors::default();
        let root = Node::root(&spec);
        of_pod(&mut errors, &root.get("resourceClaims"));
        of_container(&mut errors, &root.get("claims"), &root);
        crate::tests::told(errors.finish())
    }

    #[test]
    fn as_upstream_answered() {
        assert_eq!(
            faults(json!({"claims": [{"name": "new"}]})),
            [
                "claims[0]: Not found: \"new\": must be one of the names in pod.spec.resourceClaims which is empty"
            ]
        );
        assert_eq!(
            faults(json!({"resourceClaims": [{"name": "new"}]})),
            [
                "resourceClaims[0]: Invalid value: {\"Name\":\"new\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: \
             must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            ]
        );
    }

    #[test]
    fn a_claim_is_used_once_or_by_its_requests() {
        let pod = |claims: Value| {
            faults(json!({"claims": claims, "resourceClaims": [{"name": "a", "resourceClaimName": "x"}]}))
        };
        assert!(pod(json!([{"name": "a", "request": "r"}, {"name": "a", "request": "s"}])).is_empty());
        assert_eq!(
            pod(json!([{"name": "a"}, {"name": "a"}])),
            ["claims[1]: Duplicate value: \"a\""]
        );
        assert_eq!(
            pod(json!([{"name": "a", "request": "r"}, {"name": "a"}])),
            ["claims[1]: Duplicate value: \"a\""]
        );
        assert_eq!(pod(json!([{"name": "b"}])).len(), 1);
    }
}
