//! Webhooks' configurations (upstream `pkg/apis/admissionregistration/validation`, apiserver `pkg/util/webhook`).
use kube_types::{is_dns1035_label, is_dns1123_subdomain, is_in_range};

use crate::{
    field::{Errors, Node},
    meta,
};

pub(crate) fn webhooks(e: &mut Errors, object: &Node<'_>) {
    let hooks = object.get("webhooks").items();
    for (at, hook) in hooks.iter().enumerate() {
        webhook(e, hook);
        review_versions(e, &hook.get("admissionReviewVersions"));
        let name = hook.get("name");
        if !name.is_empty() && hooks[..at].iter().any(|h| h.get("name").text() == name.text()) {
            e.duplicate(&name);
        }
    }
}

fn webhook(e: &mut Errors, hook: &Node<'_>) {
    let name = hook.get("name");
    if name.is_empty() {
        e.required(&name, "");
    } else {
        let complaints = is_dns1123_subdomain(name.text());
        if complaints.is_empty() && name.text().split('.').count() < 3 {
            e.invalid(
                &name,
                "should be a domain with at least three segments separated by dots",
            );
        }
        e.complaints(&name, complaints);
    }
    for rule in hook.get("rules").items() {
        self::rule(e, &rule);
    }
    e.maybe_one_of(&hook.get("failurePolicy"), &["Fail", "Ignore"]);
    e.maybe_one_of(&hook.get("matchPolicy"), &["Equivalent", "Exact"]);
    let effects = hook.get("sideEffects");
    if !effects.present() {
        e.required(&effects, "must specify one of None, NoneOnDryRun");
    }
    e.maybe_one_of(&effects, &["None", "NoneOnDryRun"]);
    let timeout = hook.get("timeoutSeconds");
    if timeout.int().is_some_and(|s| !(1..=30).contains(&s)) {
        e.invalid(&timeout, "the timeout value must be between 1 and 30 seconds");
    }
    for selector in ["namespaceSelector", "objectSelector"] {
        meta::selector(e, &hook.get(selector));
    }
    e.maybe_one_of(&hook.get("reinvocationPolicy"), &["IfNeeded", "Never"]);
    client(e, &hook.get("clientConfig"));
}

/// Where a webhook is.
pub(crate) fn client(e: &mut Errors, client: &Node<'_>) {
    let (url, service) = (client.get("url"), client.get("service"));
    if url.present() == service.present() {
        e.required(client, "exactly one of url or service is required");
    } else if url.present() {
        client_url(e, &url);
    } else {
        client_service(e, &service);
    }
}

/// `ValidateWebhookURL` (apiserver `pkg/util/webhook/validation.go`).
pub(crate) fn client_url(e: &mut Errors, url: &Node<'_>) {
    const FORM: &str = "desired format: https://host[/path]";
    let (rest, fragment) = url.text().split_once('#').unwrap_or((url.text(), ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once(':').unwrap_or(("", rest));
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let authority = authority
        .split_once('/')
        .map_or(authority, |(authority, _)| authority);
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        e.invalid_text(
            url,
            scheme,
            &format!("'https' is the only allowed URL scheme; {FORM}"),
        );
    }
    if host.is_empty() {
        e.invalid_text(url, "", &format!("host must be specified; {FORM}"));
    }
    for (part, what) in [
        (user, "user information is"),
        (fragment, "fragments are"),
        (query, "query parameters are"),
    ] {
        if !part.is_empty() {
            e.invalid_text(url, part, &format!("{what} not permitted in the URL"));
        }
    }
}

/// The Service of a webhook. Upstream takes its name for its namespace and the other way round, and complains so.
fn client_service(e: &mut Errors, service: &Node<'_>) {
    for (empty, shown) in [("namespace", "name"), ("name", "namespace")] {
        if service.get(empty).is_empty() {
            e.required(&service.get(shown), "");
        }
    }
    let port = service.get("port");
    if let Some(number) = port.int() {
        for complaint in is_in_range(number, 1, 65535) {
            e.invalid(&port, &format!("port is not valid: {complaint}"));
        }
    }
    let path = service.get("path");
    let Some(rest) = path.text().get(1..).filter(|_| path.text() != "/") else {
        return;
    };
    if path.text() == "//" {
        return e.invalid(&path, "segment[0] may not be empty");
    }
    if !path.text().starts_with('/') {
        e.invalid(&path, "must start with a '/'");
    }
    for (at, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if segment.is_empty() {
            e.invalid(&path, &format!("segment[{at}] may not be empty"));
            continue;
        }
        for complaint in is_dns1123_subdomain(segment) {
            e.invalid(&path, &format!("segment[{at}]: {complaint}"));
        }
    }
}

/// What a webhook or a policy is asked about.
pub(crate) fn rule(e: &mut Errors, rule: &Node<'_>) {
    let operations = rule.get("operations");
    if operations.is_empty() {
        e.required(&operations, "");
    }
    let wild = |list: &Node<'_>| list.len() > 1 && list.items().iter().any(|i| i.text() == "*");
    if wild(&operations) {
        e.invalid(
            &operations,
            "if '*' is present, must not specify other operations",
        );
    }
    for operation in operations.items() {
        e.maybe_one_of(&operation, &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]);
    }
    for (field, words) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = rule.get(field);
        if list.is_empty() {
            e.required(&list, "");
        }
        if wild(&list) {
            e.invalid(
                &list,
                &format!("if '*' is present, must not specify other {words}"),
            );
        }
        // Core's group has no name, but every version has.
        for version in list
            .items()
            .iter()
            .filter(|v| field == "apiVersions" && v.is_empty())
        {
            e.required(version, "");
        }
    }
    resources(e, &rule.get("resources"));
    e.maybe_one_of(&rule.get("scope"), &["*", "Cluster", "Namespaced"]);
}

fn resources(e: &mut Errors, list: &Node<'_>) {
    if list.is_empty() {
        e.required(list, "");
    }
    let items = list.items();
    for (at, item) in items.iter().enumerate() {
        if item.is_empty() {
            e.required(item, "");
        }
        let Some((resource, sub)) = item.text().split_once('/') else {
            continue;
        };
        for all in [format!("{resource}/*"), format!("*/{sub}")] {
            if items[..at].iter().any(|other| other.text() == all) {
                let detail = format!("if '{all}' is present, must not specify {}", item.text());
                e.invalid(item, &detail);
            }
        }
    }
    let has = |name: &str| items.iter().any(|item| item.text() == name);
    if items.len() > 1 && has("*/*") {
        e.invalid(list, "if '*/*' is present, must not specify other resources");
    }
    // Only the last of those without a subresource counts there.
    let plain = items
        .iter()
        .rfind(|item| !item.is_empty() && !item.text().contains('/'));
    if has("*") && plain.is_some_and(|item| item.text() != "*") {
        e.invalid(
            list,
            "if '*' is present, must not specify other resources without subresources",
        );
    }
}

fn review_versions(e: &mut Errors, versions: &Node<'_>) {
    let items = versions.items();
    if items.is_empty() {
        return e.required(versions, "must specify one of v1, v1beta1");
    }
    for (at, version) in items.iter().enumerate() {
        if items[..at].iter().any(|v| v.text() == version.text()) {
            e.invalid(version, "duplicate version");
            continue;
        }
        e.complaints(version, is_dns1035_label(version.text()));
    }
    if !items.iter().any(|v| matches!(v.text(), "v1" | "v1beta1")) {
        e.invalid(versions, "must include at least one of v1, v1beta1");
    }
}
