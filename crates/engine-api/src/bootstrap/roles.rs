//! Default roles and bindings (kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`), for the kinds that the
//! engine serves. Controllers run under one identity here, and nodes are authorised by a role of the group
//! `system:nodes` rather than by upstream's Node authorizer.
use serde_json::{Value, json};

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";

/// Verbs, API groups (`-` is core) and resources, each separated by spaces.
type Rule = (&'static str, &'static str, &'static str);

const WORKLOADS: &str =
    "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale";
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
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas \
         resourcequotas/status",
    ),
    (READ, "-", "namespaces"),
    (READ, "discovery.k8s.io", "endpointslices"),
    (READ, "apps", WORKLOADS_READ),
    (
        READ,
        "autoscaling",
        "horizontalpodautoscalers horizontalpodautoscalers/status",
    ),
    (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (
        READ,
        "networking.k8s.io",
        "ingresses ingresses/status networkpolicies",
    ),
    (READ, "metrics.k8s.io", "pods nodes"),
];

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
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
         serviceaccounts services services/proxy",
    ),
    ("create", "-", "serviceaccounts/token"),
    (WRITE, "apps", WORKLOADS),
    ("create", "apps", "deployments/rollback"),
    (WRITE, "autoscaling", "horizontalpodautoscalers"),
    (WRITE, "batch", "cronjobs jobs"),
    (WRITE, "policy", "poddisruptionbudgets"),
    (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    (
        "create delete deletecollection get list patch update watch",
        "coordination.k8s.io",
        "leases",
    ),
];

const ADMIN: &[Rule] = &[
    ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    (
        "create delete deletecollection get list patch update watch",
        "rbac.authorization.k8s.io",
        "rolebindings roles",
    ),
];

const CONTROLLERS: &[Rule] = &[
    (READ, "*", "*"),
    (
        "create delete deletecollection patch update",
        "- apps batch autoscaling coordination.k8s.io discovery.k8s.io events.k8s.io networking.k8s.io policy storage.k8s.io",
        "*",
    ),
    (
        "delete deletecollection",
        "rbac.authorization.k8s.io",
        "roles rolebindings",
    ),
    ("get update", "*", "*/scale"),
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews"),
];

const SCHEDULER: &[Rule] = &[
    (READ, "*", "*"),
    ("create patch update", "- events.k8s.io", "events"),
    ("delete get list watch", "-", "pods"),
    ("create", "-", "bindings pods/binding"),
    ("patch update", "-", "pods/status"),
    (
        "get list patch update watch",
        "-",
        "persistentvolumeclaims persistentvolumes",
    ),
    ("create get list update watch", "coordination.k8s.io", "leases"),
];

const NODE: &[Rule] = &[
    (
        READ,
        "-",
        "services nodes namespaces persistentvolumes persistentvolumeclaims configmaps secrets serviceaccounts endpoints",
    ),
    ("create delete get list patch update watch", "-", "pods"),
    ("create patch update delete", "-", "nodes"),
    (
        "patch update",
        "-",
        "nodes/status pods/status persistentvolumeclaims/status",
    ),
    ("create", "-", "pods/eviction serviceaccounts/token"),
    ("create patch update", "- events.k8s.io", "events"),
    ("create delete get patch update", "coordination.k8s.io", "leases"),
    ("create", "authentication.k8s.io", "tokenreviews"),
    (
        "create",
        "authorization.k8s.io",
        "localsubjectaccessreviews subjectaccessreviews",
    ),
    (READ, "discovery.k8s.io", "endpointslices"),
    (READ, "storage.k8s.io", "storageclasses"),
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
    (
        "*",
        "-",
        "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
    ),
];

const DISCOVERY: &str =
    "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/";
const PUBLIC: &str = "/healthz /livez /readyz /version /version/";
const ISSUER: &str =
    "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/";
const MONITORING: &str = "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*";

fn words(raw: &str) -> Vec<&str> {
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

fn paths(name: &str, paths: &str) -> Value {
    role(
        name,
        vec![json!({"verbs": ["get"], "nonResourceURLs": words(paths)})],
    )
}

fn binding(role: &str, subjects: &[(&str, &str)]) -> Value {
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|(kind, name)| json!({"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}))
        .collect();
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "subjects": subjects,
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
    "metadata": {
        "name": role,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }})
}

/// All of them.
pub fn all() -> Vec<Value> {
    const AUTHENTICATED: (&str, &str) = ("Group", "system:authenticated");
    let mut cluster_admin = resources("cluster-admin", &[&[("*", "*", "*")]]);
    if let Some(rules) = cluster_admin["rules"].as_array_mut() {
        rules.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    vec![
        cluster_admin,
        resources("admin", &[VIEW, EDIT, ADMIN]),
        resources("edit", &[VIEW, EDIT]),
        resources("view", &[VIEW]),
        resources("system:basic-user", &[BASIC]),
        resources("system:auth-delegator", &[DELEGATOR]),
        resources("system:kubelet-api-admin", &[KUBELET_ADMIN]),
        resources("system:kube-controller-manager", &[CONTROLLERS]),
        resources("system:kube-scheduler", &[SCHEDULER]),
        resources("system:node", &[NODE]),
        paths("system:discovery", DISCOVERY),
        paths("system:public-info-viewer", PUBLIC),
        paths("system:service-account-issuer-discovery", ISSUER),
        paths("system:monitoring", MONITORING),
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
        binding("system:node", &[("Group", "system:nodes")]),
    ]
}
