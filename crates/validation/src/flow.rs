//! Flow schemas and priority levels (upstream `pkg/apis/flowcontrol/validation`). What the four mandatory objects must say is not
//! looked at: upstream makes them itself.
use kube_types::{is_dns1123_label, is_dns1123_subdomain};

use crate::field::{Errors, Node, go_struct};

const VERBS: [&str; 9] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];
const HIGHEST_PRECEDENCE: i64 = 10_000;
const MOST_QUEUES: i64 = 10_000_000;
/// Bits of a request's hash (apiserver `util/shufflesharding` MaxHashBits).
const HASH_BITS: i64 = 60;

fn number(node: &Node<'_>) -> i64 {
    node.int().unwrap_or(0)
}

/// What a new or changed flow schema says.
pub(crate) fn schema(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let precedence = spec.get("matchingPrecedence");
    match number(&precedence) {
        n if n <= 0 => e.invalid_value(&precedence, &n.into(), "must be a positive value"),
        n if n > HIGHEST_PRECEDENCE => e.invalid(&precedence, "must not be greater than 10000"),
        1 if object.at(&["metadata", "name"]).text() != "exempt" => e.invalid(
            &precedence,
            "only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        _ => {}
    }
    let method = spec.get("distinguisherMethod");
    if method.present() && !matches!(method.get("type").text(), "ByNamespace" | "ByUser") {
        let shown = go_struct(&method, &[("Type", "type")]);
        e.unsupported_raw(&method.get("type"), &shown, &["ByNamespace", "ByUser"]);
    }
    let level = spec.at(&["priorityLevelConfiguration", "name"]);
    if level.is_empty() {
        e.required(&level, "must reference a priority level");
    } else {
        e.complaints(&level, is_dns1123_subdomain(level.text()));
    }
    for rule in spec.get("rules").items() {
        rules(e, &rule);
    }
    conditions(e, object);
}

fn rules(e: &mut Errors, rule: &Node<'_>) {
    let subjects = rule.get("subjects");
    if subjects.is_empty() {
        e.required(&subjects, "subjects must contain at least one value");
    }
    for one in subjects.items() {
        subject(e, &one);
    }
    let (resources, others) = (rule.get("resourceRules"), rule.get("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        e.required(
            rule,
            "at least one of resourceRules and nonResourceRules has to be non-empty",
        );
    }
    for rule in resources.items() {
        verbs(e, &rule.get("verbs"));
        let (groups, resources) = (rule.get("apiGroups"), rule.get("resources"));
        several(
            e,
            &groups,
            "resource rules must supply at least one api group",
            "api groups",
        );
        several(
            e,
            &resources,
            "resource rules must supply at least one resource",
            "resources",
        );
        namespaces(e, &rule);
    }
    for rule in others.items() {
        verbs(e, &rule.get("verbs"));
        let urls = rule.get("nonResourceURLs");
        several(
            e,
            &urls,
            "nonResourceURLs must contain at least one value",
            "non-resource URLs",
        );
        if !is_wild(&urls) {
            for url in urls.items() {
                if let Some(complaint) = path_complaint(url.text()) {
                    e.invalid_text(&url, url.text(), complaint);
                }
            }
        }
    }
}

/// The fields of a subject, and the kind that each belongs to.
const SUBJECTS: [(&str, &str); 3] = [
    ("serviceAccount", "ServiceAccount"),
    ("user", "User"),
    ("group", "Group"),
];

fn subject(e: &mut Errors, subject: &Node<'_>) {
    let kind = subject.get("kind");
    let Some((field, _)) = SUBJECTS.iter().find(|(_, known)| *known == kind.text()) else {
        return e.unsupported(&kind, &["Group", "ServiceAccount", "User"]);
    };
    let who = subject.get(field);
    if who.present() {
        let (name, namespace) = (who.get("name"), who.get("namespace"));
        if name.is_empty() {
            e.required(&name, "");
        } else if *field == "serviceAccount" && name.text() != "*" {
            e.complaints(&name, is_dns1123_subdomain(name.text()));
        }
        if *field == "serviceAccount" {
            if namespace.is_empty() {
                e.required(&namespace, "must specify namespace for service account");
            } else {
                e.complaints(&namespace, is_dns1123_label(namespace.text()));
            }
        }
    } else {
        e.required(
            &who,
            &format!("{field} is required when subject kind is '{}'", kind.text()),
        );
    }
    // Upstream looks at users before groups, and at service accounts before both.
    for (other, belongs) in SUBJECTS.iter().filter(|(other, _)| other != field) {
        if subject.get(other).present() {
            e.forbidden(
                &subject.get(other),
                &format!("{other} is forbidden when subject kind is not '{belongs}'"),
            );
        }
    }
}

fn is_wild(list: &Node<'_>) -> bool {
    list.items().iter().any(|item| item.text() == "*")
}

/// At least one, and nothing beside `*`.
fn several(e: &mut Errors, list: &Node<'_>, none: &str, what: &str) {
    if list.is_empty() {
        e.required(list, none);
    } else if list.len() > 1 && is_wild(list) {
        e.invalid(list, &format!("if '*' is present, must not specify other {what}"));
    }
}

fn verbs(e: &mut Errors, verbs: &Node<'_>) {
    several(e, verbs, "verbs must contain at least one value", "verbs");
    if !is_wild(verbs) && verbs.items().iter().any(|verb| !VERBS.contains(&verb.text())) {
        e.unsupported(verbs, &VERBS);
    }
}

fn namespaces(e: &mut Errors, rule: &Node<'_>) {
    let list = rule.get("namespaces");
    if list.is_empty() {
        if !rule.get("clusterScope").is_true() {
            let detail = "resource rules that are not cluster scoped must supply at least one namespace";
            e.required(&list, detail);
        }
    } else if is_wild(&list) {
        several(e, &list, "", "namespaces");
    } else {
        for namespace in list.items() {
            for complaint in is_dns1123_label(namespace.text()) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {complaint}");
                e.invalid_text(&namespace, namespace.text(), &detail);
            }
        }
    }
}

fn path_complaint(path: &str) -> Option<&'static str> {
    let stars = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || stars == 1 && !path.ends_with("/*") => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

/// What both kinds report.
pub(crate) fn conditions(e: &mut Errors, object: &Node<'_>) {
    let items = object.at(&["status", "conditions"]).items();
    for (at, condition) in items.iter().enumerate() {
        let kind = condition.get("type");
        if items[..at]
            .iter()
            .any(|other| other.get("type").text() == kind.text())
        {
            e.duplicate_value(&kind, &kind.text().into());
        }
        if kind.is_empty() {
            e.required(&kind, "");
        }
    }
}

/// What a new or changed priority level says.
pub(crate) fn level(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let kind = spec.get("type");
    if (object.at(&["metadata", "name"]).text() == "exempt") != (kind.text() == "Exempt") {
        e.invalid_text(
            &kind,
            kind.text(),
            "must be 'Exempt' if and only if `name` is 'exempt'",
        );
    }
    let (limited, exempt) = (spec.get("limited"), spec.get("exempt"));
    match kind.text() {
        "Exempt" => {
            if limited.present() {
                e.forbidden(&limited, "must be nil if the type is not Limited");
            }
            shares(e, &exempt);
        }
        "Limited" => {
            if exempt.present() {
                e.forbidden(&exempt, "must be nil if the type is Limited");
            }
            if limited.present() {
                self::limited(e, &limited);
            } else {
                e.required(&limited, "must not be empty when type is Limited");
            }
        }
        _ => e.unsupported(&kind, &["Exempt", "Limited"]),
    }
    conditions(e, object);
}

fn negative(e: &mut Errors, node: &Node<'_>, detail: &str) {
    if number(node) < 0 {
        e.invalid(node, detail);
    }
}

fn percent(e: &mut Errors, node: &Node<'_>) {
    if !(0..=100).contains(&number(node)) {
        e.invalid(node, "must be between 0 and 100, inclusive");
    }
}

fn shares(e: &mut Errors, level: &Node<'_>) {
    negative(
        e,
        &level.get("nominalConcurrencyShares"),
        "must be a non-negative integer",
    );
    percent(e, &level.get("lendablePercent"));
}

fn limited(e: &mut Errors, level: &Node<'_>) {
    negative(
        e,
        &level.get("nominalConcurrencyShares"),
        "must be a non-negative integer",
    );
    let response = level.get("limitResponse");
    let (kind, queuing) = (response.get("type"), response.get("queuing"));
    match kind.text() {
        "Reject" if queuing.present() => {
            e.forbidden(
                &queuing,
                "must be nil if limited.limitResponse.type is not Limited",
            );
        }
        "Reject" => {}
        "Queue" if queuing.present() => self::queuing(e, &queuing),
        "Queue" => e.required(
            &queuing,
            "must not be empty if limited.limitResponse.type is Limited",
        ),
        _ => e.unsupported(&kind, &["Queue", "Reject"]),
    }
    percent(e, &level.get("lendablePercent"));
    negative(
        e,
        &level.get("borrowingLimitPercent"),
        "if specified, must be a non-negative integer",
    );
}

fn queuing(e: &mut Errors, queuing: &Node<'_>) {
    let [limit, queues, hand] = ["queueLengthLimit", "queues", "handSize"].map(|f| queuing.get(f));
    let not_positive = |e: &mut Errors, node: &Node<'_>| {
        let wrong = number(node) <= 0;
        if wrong {
            e.invalid_value(node, &number(node).into(), "must be positive");
        }
        wrong
    };
    not_positive(e, &limit);
    if !not_positive(e, &queues) && number(&queues) > MOST_QUEUES {
        e.invalid(&queues, "must not be greater than 10000000");
    }
    if not_positive(e, &hand) {
        return;
    }
    let (deck, size) = (number(&queues), number(&hand));
    let bits = entropy(deck, size);
    if size > deck {
        e.invalid(&hand, &format!("should not be greater than queues ({deck})"));
    } else if bits > HASH_BITS {
        e.invalid(
            &hand,
            &format!(
                "required entropy bits of deckSize {deck} and handSize {size} should not be greater than {HASH_BITS}"
            ),
        );
    }
}

/// Bits that it takes to deal a hand from a deck (apiserver `util/shufflesharding` RequiredEntropyBits).
fn entropy(deck: i64, hand: i64) -> i64 {
    (deck as f64).log2().mul_add(hand as f64, 0.0).ceil() as i64
}
