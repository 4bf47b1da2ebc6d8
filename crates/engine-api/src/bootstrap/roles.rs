//! Default roles and bindings (kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`), for the kinds that the
//! engine serves. As upstream, nobody is bound to the role of nodes: its rules are the Node authorizer's (`auth/node.rs`). The engine's own
//! node agents, controllers and scheduler are part of it and need none (see `system:masters`).
use serde_json::{Value, json};

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";

/// Verbs, API groups (`-` is core) and resources, each separated by spaces.
type Rule = (&'static str, &'static str, &'static str);

const WORKLOADS: &str = "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale";
const WORKLOADS_READ: &str = "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
    replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status";

const VIEW: &[Rule] = &[
    (
        READ,
        "-",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers \
         replicationcontrollers/scale serviceaccounts services services/status",
    ),
    (
        READ,
        "-",
        "bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas \
         resourcequotas/status",
    ),
    (READ, "-", "namespaces"),
    (READ, "- events.k8s.io", "events"),
    (READ, "discovery.k8s.io", "endpointslices"),
    (READ, "apps", WORKLOADS_READ),
    (
        READ,
        "autoscaling",
        "horizontalpodautoscalers horizontalpodautoscalers/status",
    ),
    (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status networkpolicies \
         replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
    ),
    (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (
        READ,
        "networking.k8s.io",
        "ingresses ingresses/status networkpolicies",
    ),
    (
        READ,
        "resource.k8s.io",
        "resourceclaims resourceclaims/status resourceclaimtemplates",
    ),
];

/// What metrics-server adds to `view` (its `system:aggregated-metrics-reader`).
const METRICS: &[Rule] = &[(READ, "metrics.k8s.io", "pods nodes")];

const EDIT: &[Rule] = &[
    (
        READ,
        "-",
        "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
    ),
    ("impersonate", "-", "serviceaccounts"),
    (
        WRITE,
        "-",
        "pods pods/attach pods/exec pods/portforward pods/proxy",
    ),
    ("create", "-", "pods/eviction"),
    (
        WRITE,
        "-",
        "configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
         serviceaccounts services services/proxy",
    ),
    ("create", "-", "serviceaccounts/token"),
    (WRITE, "- events.k8s.io", "events"),
    (WRITE, "apps", WORKLOADS),
    (WRITE, "autoscaling", "horizontalpodautoscalers"),
    (WRITE, "batch", "cronjobs jobs"),
    (
        WRITE,
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets replicasets/scale \
         replicationcontrollers/scale",
    ),
    (WRITE, "policy", "poddisruptionbudgets"),
    (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    (
        "create delete deletecollection get list patch update watch",
        "coordination.k8s.io",
        "leases",
    ),
    (WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
];

const ADMIN: &[Rule] = &[
    ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    (
        "create delete deletecollection get list patch update watch",
        "rbac.authorization.k8s.io",
        "rolebindings roles",
    ),
];

const BASIC: &[Rule] = &[
    (
        "create",
        "authorization.k8s.io",
        "selfsubjectaccessreviews selfsubjectrulesreviews",
    ),
    ("create", "authentication.k8s.io", "selfsubjectreviews"),
];

const DELEGATOR: &[Rule] = &[
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews"),
];

const KUBELET_ADMIN: &[Rule] = &[
    ("get list watch", "-", "nodes"),
    ("proxy", "-", "nodes"),
    ("*", "-", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ("*", "-", "nodes/configz nodes/healthz nodes/pods"),
];

const DISCOVERY: &str =
    "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/";
const PUBLIC: &str = "/healthz /livez /readyz /version /version/";
const ISSUER: &str =
    "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/";
const MONITORING: &str =
    "/flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /statusz";

pub fn words(raw: &str) -> Vec<&str> {
    raw.split_whitespace()
        .map(|w| if w == "-" { "" } else { w })
        .collect()
}

fn role(name: &str, rules: Vec<Value>) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": rules, "metadata": {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }})
}

fn resources(name: &str, parts: &[&[Rule]]) -> Value {
    let rules = parts.iter().copied().flatten().map(|(verbs, groups, resources)| {
        json!({"verbs": words(verbs), "apiGroups": words(groups), "resources": words(resources)})
    });
    role(name, rules.collect())
}

/// Who serves an extension API may read how requests to it are recognised.
fn authentication_reader() -> [Value; 2] {
    let name = "extension-apiserver-authentication-reader";
    let metadata = |name: &str| {
        json!({"name": name, "namespace": "kube-system",
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}})
    };
    let subjects = ["system:kube-controller-manager", "system:kube-scheduler"]
        .map(|user| json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}));
    [
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata(name), "rules": [
            {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"],
                "resourceNames": ["extension-apiserver-authentication"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": metadata(&format!("system::{name}")), "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}}),
    ]
}

const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// A role whose rules become part of another's.
fn part(name: &str, into: &str, rules: &[Rule]) -> Value {
    let mut part = resources(name, &[rules]);
    part["metadata"]["labels"][format!("{AGGREGATE}{into}")] = "true".into();
    part
}

/// A role made of all parts that are marked for it. Its rules are written here as the controller would, so that they hold
/// from the first request on.
fn whole(name: &str, into: Option<&str>, parts: &[&[Rule]]) -> Value {
    let mut whole = resources(name, parts);
    let label = format!("{AGGREGATE}{name}");
    whole["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    if let Some(into) = into {
        whole["metadata"]["labels"][format!("{AGGREGATE}{into}")] = "true".into();
    }
    whole
}

fn paths(name: &str, paths: &str) -> Value {
    role(
        name,
        vec![json!({"verbs": ["get"], "nonResourceURLs": words(paths)})],
    )
}

fn monitoring() -> Value {
    let mut role = paths("system:monitoring", MONITORING);
    if let Some(rules) = role["rules"].as_array_mut() {
        rules.push(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["nodes/metrics"]}));
    }
    role
}

fn binding(role: &str, subjects: &[(&str, &str)]) -> Value {
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|(kind, name)| json!({"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}))
        .collect();
    let mut binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
    "metadata": {
        "name": role,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }});
    if !subjects.is_empty() {
        binding["subjects"] = subjects.into();
    }
    binding
}

/// All of them.
pub fn all() -> Vec<Value> {
    const AUTHENTICATED: (&str, &str) = ("Group", "system:authenticated");
    let mut cluster_admin = resources("cluster-admin", &[&[("*", "*", "*")]]);
    if let Some(rules) = cluster_admin["rules"].as_array_mut() {
        rules.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    let mut all = vec![
        cluster_admin,
        whole("admin", None, &[EDIT, VIEW, METRICS, ADMIN]),
        whole("edit", Some("admin"), &[EDIT, VIEW, METRICS]),
        whole("view", Some("edit"), &[VIEW, METRICS]),
        part("system:aggregate-to-admin", "admin", ADMIN),
        part("system:aggregate-to-edit", "edit", EDIT),
        part("system:aggregate-to-view", "view", VIEW),
        part("system:aggregated-metrics-reader", "view", METRICS),
        resources("system:basic-user", &[BASIC]),
        resources("system:auth-delegator", &[DELEGATOR]),
        resources("system:kubelet-api-admin", &[KUBELET_ADMIN]),
        paths("system:discovery", DISCOVERY),
        paths("system:public-info-viewer", PUBLIC),
        paths("system:service-account-issuer-discovery", ISSUER),
        monitoring(),
        binding("cluster-admin", &[("Group", "system:masters")]),
        binding("system:basic-user", &[AUTHENTICATED]),
        binding("system:discovery", &[AUTHENTICATED]),
        binding(
            "system:public-info-viewer",
            &[AUTHENTICATED, ("Group", "system:unauthenticated")],
        ),
        binding(
            "system:service-account-issuer-discovery",
            &[("Group", "system:serviceaccounts")],
        ),
        binding("system:monitoring", &[("Group", "system:monitoring")]),
        binding(
            "system:kube-controller-manager",
            &[("User", "system:kube-controller-manager")],
        ),
        binding("system:kube-scheduler", &[("User", "system:kube-scheduler")]),
        binding("system:node", &[]),
    ];
    all.extend(authentication_reader());
    all
}
