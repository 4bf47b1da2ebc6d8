//! Jobs, CronJobs, autoscalers, Secrets.
use serde_json::{Value, json};

use super::{container, create, update};

fn job(spec: Value) -> Value {
    let mut spec = spec;
    spec["template"] = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [container()]}});
    spec["manualSelector"] = true.into();
    spec["selector"] = json!({"matchLabels": {"a": "b"}});
    json!({"metadata": {"name": "j"}, "spec": spec})
}

#[test]
fn jobs_of_others() {
    let managed = |name: &str| create("Job", job(json!({"managedBy": name})));
    assert_eq!(managed("acme.io/foo"), [""; 0]);
    assert_eq!(managed(""), ["spec.managedBy: Required value"]);
    assert_eq!(
        managed("acme"),
        ["spec.managedBy: Invalid value: \"acme\": must be a domain-prefixed path (such as \"acme.io/foo\")"]
    );
    assert_eq!(
        managed("acme.io/a b"),
        [
            "spec.managedBy: Invalid value: \"a b\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
        ]
    );
    let long = format!("acme.io/{}", "x".repeat(60));
    assert_eq!(
        managed(&long),
        ["spec.managedBy: Too long: may not be more than 63 bytes"]
    );
}

#[test]
fn what_a_job_may_become() {
    let becomes = |spec: Value, before: Value, after: Value| {
        let mut old = job(spec);
        old["status"] = before;
        update("Job", "status", old, |new| new["status"] = after)
    };
    let conditions = |kinds: &[&str]| {
        let all: Vec<Value> = kinds
            .iter()
            .map(|kind| json!({"type": kind, "status": "True"}))
            .collect();
        json!(all)
    };
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let running = json!({"active": 1, "startTime": early});
    assert_eq!(
        becomes(
            json!({}),
            running.clone(),
            json!({"startTime": early, "completionTime": late, "succeeded": 1,
            "conditions": conditions(&["SuccessCriteriaMet", "Complete"])})
        ),
        [""; 0]
    );
    assert_eq!(
        becomes(
            json!({}),
            running.clone(),
            json!({"active": 1, "startTime": late, "conditions": conditions(&["Complete"])})
        ),
        [
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.startTime: Invalid value: \"2026-01-02T00:00:00Z\": field is immutable for unsuspended job once set"
        ]
    );
    assert_eq!(
        becomes(
            json!({}),
            json!({}),
            json!({"ready": 1, "terminating": 1, "completedIndexes": "0", "failedIndexes": "1", "conditions": conditions(&["Failed"]),
                "uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}})
        ),
        [
            "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty",
            "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            "status.startTime: Required value: startTime is required for finished job",
            "status.uncountedTerminatedPods: Invalid value: {\"Succeeded\":[\"a\",\"\"],\"Failed\":[\"a\"]}: must be empty for finished job",
            "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode",
            "status.failedIndexes: Invalid value: \"1\": cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
            "status.ready: Invalid value: 1: cannot set more ready pods than active"
        ]
    );
    let indexed =
        json!({"completionMode": "Indexed", "completions": 5, "parallelism": 1, "backoffLimitPerIndex": 1});
    assert_eq!(
        becomes(
            indexed,
            json!({"failed": 2, "succeeded": 3}),
            json!({"failed": 1, "succeeded": 2, "completedIndexes": "1-3", "failedIndexes": "3,2"})
        ),
        [
            "status.failedIndexes: Invalid value: \"3,2\": error parsing failedIndexes: non-increasing order, previous: 3, current: 2",
            "status.failedIndexes: Invalid value: \"3,2\": failedIndexes and completedIndexes overlap at index: 3",
            "status.failed: Invalid value: 1: cannot decrease the failed counter",
            "status.succeeded: Invalid value: 2: cannot decrease the succeeded counter"
        ]
    );
    assert_eq!(
        becomes(
            json!({}),
            json!({"startTime": early, "conditions": conditions(&["FailureTarget", "SuccessCriteriaMet"])}),
            json!({})
        ),
        [
            "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
            "status.startTime: Invalid value: null: field is immutable for unsuspended job once set",
            "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition"
        ]
    );
}

#[test]
fn success_policies() {
    let policy = |rules: Value| {
        let spec = json!({"completionMode": "Indexed", "completions": 5, "parallelism": 5, "successPolicy": {"rules": rules}});
        create("Job", job(spec))
    };
    assert_eq!(
        policy(json!([{"succeededIndexes": "0-2,4", "succeededCount": 4}])),
        [""; 0]
    );
    assert_eq!(
        policy(json!([])),
        [
            "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified"
        ]
    );
    let path = "spec.successPolicy.rules";
    assert_eq!(
        policy(
            json!([{}, {"succeededIndexes": "2,1"}, {"succeededIndexes": "0-5"}, {"succeededIndexes": "a"},
            {"succeededIndexes": "1-2-3"}, {"succeededIndexes": "3-3"}, {"succeededIndexes": "0", "succeededCount": 2},
            {"succeededCount": 6}, {"succeededCount": -1}])
        ),
        [
            format!(
                "{path}[0]: Required value: at least one of succeededCount or succeededIndexes must be specified"
            ),
            format!(
                "{path}[1].succeededIndexes: Invalid value: \"2,1\": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1"
            ),
            format!(
                "{path}[2].succeededIndexes: Invalid value: \"0-5\": error parsing succeededIndexes: too large index: \"5\""
            ),
            format!(
                "{path}[3].succeededIndexes: Invalid value: \"a\": error parsing succeededIndexes: cannot convert string to integer for index: \"a\""
            ),
            format!(
                "{path}[4].succeededIndexes: Invalid value: \"1-2-3\": error parsing succeededIndexes: the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'"
            ),
            format!(
                "{path}[5].succeededIndexes: Invalid value: \"3-3\": error parsing succeededIndexes: non-increasing order, previous: 3, current: 3"
            ),
            format!(
                "{path}[6].succeededCount: Invalid value: 2: must be less than or equal to 1 (the number of indexes in the specified succeededIndexes field)"
            ),
            format!(
                "{path}[7].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)"
            ),
            format!("{path}[8].succeededCount: Invalid value: -1: must be greater than or equal to 0"),
        ]
    );
}

#[test]
fn jobs_of_very_many() {
    let spec = json!({"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001, "backoffLimitPerIndex": 1});
    assert_eq!(
        create("Job", job(spec.clone())),
        [
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used \
             with backoff limit per index",
        ]
    );
    let mut within = spec;
    within["parallelism"] = 10_000.into();
    within["maxFailedIndexes"] = 10_000.into();
    assert_eq!(create("Job", job(within)), [""; 0]);
}

#[test]
fn replacements_of_pods_that_failed() {
    let rule =
        json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
    let spec = json!({"podReplacementPolicy": "TerminatingOrFailed", "podFailurePolicy": {"rules": [rule]}});
    assert_eq!(
        create("Job", job(spec)),
        [
            "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\""
        ]
    );
}

#[test]
fn templates_of_jobs_are_fixed_unless_they_wait() {
    let other = |new: &mut Value| {
        new["spec"]["template"]["spec"]["nodeSelector"] = json!({"x": "y"});
        new["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    };
    let mut waiting = job(json!({"suspend": true}));
    assert_eq!(update("Job", "", waiting.clone(), other), [""; 0]);
    let found = update("Job", "", waiting.clone(), |new| {
        new["spec"]["template"]["spec"]["affinity"] = json!({"podAffinity": {}});
    });
    assert_eq!(
        found.len(),
        1,
        "only where nodes are concerned, affinity may change: {found:?}"
    );
    assert!(found[0].starts_with("spec.template.spec: Invalid value: {\"Volumes\":null,"));
    waiting["status"] = json!({"startTime": "2026-01-01T00:00:00Z"});
    let found = update("Job", "", waiting.clone(), other);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with(
            "spec.template: Invalid value: {\"labels\":{\"a\":\"b\"},\"Spec\":{\"Volumes\":null,"
        ),
        "{}",
        found[0]
    );
    assert!(found[0].ends_with("}: field is immutable"));
    waiting["status"]["conditions"] = json!([{"type": "Suspended", "status": "True"}]);
    assert_eq!(update("Job", "", waiting, other), [""; 0]);
}

fn cron(zone: &str) -> Value {
    let spec = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}});
    json!({"metadata": {"name": "c"}, "spec": {"schedule": "@daily", "timeZone": zone, "jobTemplate": {"spec": spec}}})
}

#[test]
fn time_zones() {
    let zone = |name: &str| {
        let found = create("CronJob", cron(name));
        let prefix = format!("spec.timeZone: Invalid value: {}: ", json!(name));
        let stripped = found.iter().map(|f| f.strip_prefix(&prefix).unwrap().to_owned());
        stripped.collect::<Vec<_>>()
    };
    for known in [
        "UTC",
        "Etc/UTC",
        "Europe/Zurich",
        "America/Argentina/ComodRivadavia",
    ] {
        assert_eq!(zone(known), [""; 0], "{known}");
    }
    assert_eq!(zone(""), ["timeZone must be nil or non-empty string"]);
    for unknown in [
        "Mars/Base",
        "europe/zurich",
        "Europe/",
        "../etc",
        "-a",
        "Continent/Zone_that_is_too_long",
    ] {
        assert_eq!(
            zone(unknown),
            [format!("unknown time zone {unknown}")],
            "{unknown}"
        );
    }
    let explicit = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
    assert_eq!(zone("Local"), [explicit]);
    assert_eq!(zone("local"), [explicit, "unknown time zone local"]);
    let kept = update("CronJob", "", cron("Mars/Base"), |new| {
        new["spec"]["suspend"] = true.into();
    });
    assert_eq!(kept, [""; 0], "what was taken once stays");
}

fn autoscaler(target: Value, rest: Value) -> Value {
    let mut spec = json!({"maxReplicas": 2, "scaleTargetRef": target});
    spec.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    json!({"metadata": {"name": "h"}, "spec": spec})
}

#[test]
fn what_is_scaled() {
    const KIND: &str = "HorizontalPodAutoscaler";
    let target = |version: &str, kind: &str| {
        create(
            KIND,
            autoscaler(
                json!({"apiVersion": version, "kind": kind, "name": "d"}),
                json!({}),
            ),
        )
    };
    let path = "spec.scaleTargetRef.apiVersion: Invalid value: ";
    assert_eq!(target("apps/v1", "Deployment"), [""; 0]);
    assert_eq!(target("v1", "ReplicationController"), [""; 0]);
    for version in ["", "v1", "/v1"] {
        assert_eq!(
            target(version, "Deployment"),
            [format!("{path}{version:?}: apiVersion must specify API group")]
        );
    }
    assert_eq!(
        target("a/b/c", "Deployment"),
        [format!("{path}\"a/b/c\": unexpected GroupVersion string: a/b/c")]
    );
    let old = autoscaler(json!({"kind": "Deployment", "name": "d"}), json!({}));
    let kept = update(KIND, "", old.clone(), |new| {
        new["spec"]["maxReplicas"] = 3.into();
    });
    assert_eq!(kept, [""; 0]);
    let changed = update(KIND, "", old, |new| {
        new["spec"]["scaleTargetRef"]["kind"] = "StatefulSet".into();
    });
    assert_eq!(
        changed,
        [format!("{path}\"\": apiVersion must specify API group")]
    );
    let metric = |version: &str| {
        let object = json!({"metric": {"name": "m"}, "target": {"type": "Value", "value": "1"},
            "describedObject": {"apiVersion": version, "kind": "Service", "name": "s"}});
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
        create(
            KIND,
            autoscaler(target, json!({"metrics": [{"type": "Object", "object": object}]})),
        )
    };
    assert_eq!(metric("v1"), [""; 0]);
    assert_eq!(
        metric("a/b/c"),
        [
            "spec.metrics[0].object.describedObject.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"
        ]
    );
}

#[test]
fn empty_policies_are_not_filled_in() {
    let behavior = json!({"behavior": {"scaleUp": {"policies": [], "tolerance": "-1"}}});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    assert_eq!(
        create("HorizontalPodAutoscaler", autoscaler(target.clone(), behavior)),
        [
            "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
            "spec.behavior.scaleUp.tolerance: Invalid value: \"-1\": must be greater than or equal to 0",
        ]
    );
    let behavior = json!({"behavior": {"scaleUp": {"policies": null}}});
    assert_eq!(
        create("HorizontalPodAutoscaler", autoscaler(target, behavior)),
        [""; 0]
    );
}

#[test]
fn credentials_of_registries() {
    let secret = |kind: &str, key: &str, base64: &str| {
        let kind = format!("kubernetes.io/{kind}");
        create(
            "Secret",
            json!({"metadata": {"name": "s"}, "type": kind, "data": {key: base64}}),
        )
    };
    let said = |key: &str, why: &str| {
        [format!(
            "data[{key}]: Invalid value: \"<secret contents redacted>\": {why}"
        )]
    };
    // {} and {"auths":{}}
    assert_eq!(secret("dockercfg", ".dockercfg", "e30="), [""; 0]);
    assert_eq!(
        secret("dockerconfigjson", ".dockerconfigjson", "eyJhdXRocyI6e319"),
        [""; 0]
    );
    assert_eq!(
        secret("dockercfg", ".dockercfg", ""),
        said(".dockercfg", "unexpected end of JSON input")
    );
    // bad
    assert_eq!(
        secret("dockerconfigjson", ".dockerconfigjson", "YmFk"),
        said(
            ".dockerconfigjson",
            "invalid character 'b' looking for beginning of value"
        )
    );
    // []
    assert_eq!(
        secret("dockerconfigjson", ".dockerconfigjson", "W10="),
        said(
            ".dockerconfigjson",
            "json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    );
    assert_eq!(
        secret("dockerconfigjson", "other", "e30="),
        ["data[.dockerconfigjson]: Required value"]
    );
}

#[test]
fn definitions_of_the_communitys_groups_are_approved() {
    let definition = |group: &str, annotation: &str| {
        json!({"metadata": {"name": format!("tabs.{group}"), "annotations": {"api-approved.kubernetes.io": annotation}},
            "spec": {"group": group, "scope": "Cluster",
                "names": {"plural": "tabs", "singular": "tab", "kind": "Tab", "listKind": "TabList"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}]},
            "status": {"storedVersions": ["v1"]}})
    };
    let told =
        |group: &str, annotation: &str| create("CustomResourceDefinition", definition(group, annotation));
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let must = "protected groups must have approval annotation \"api-approved.kubernetes.io\"";
    assert_eq!(told("example.com", ""), [""; 0]);
    assert_eq!(told("notk8s.io", ""), [""; 0]);
    for annotation in ["https://github.com/a/b", "unapproved, for a test"] {
        assert_eq!(told("x.k8s.io", annotation), [""; 0], "{annotation}");
    }
    let place = "metadata.annotations[api-approved.kubernetes.io]";
    assert_eq!(
        told("x.k8s.io", ""),
        [format!("{place}: Required value: {must}, {see}")]
    );
    assert_eq!(
        told("x.kubernetes.io", "yes"),
        [format!(
            "{place}: Invalid value: \"yes\": {must} with either a URL or a reason starting with \"unapproved\", {see}"
        )]
    );
    // What was made without one may be changed.
    let label = |new: &mut Value| new["metadata"]["labels"] = json!({"a": "b"});
    let unapproved = definition("x.k8s.io", "");
    assert_eq!(update("CustomResourceDefinition", "", unapproved, label), [""; 0]);
    let mut keeps = definition("example.com", "");
    keeps["spec"]["preserveUnknownFields"] = true.into();
    assert_eq!(
        create("CustomResourceDefinition", keeps.clone()),
        [
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        ]
    );
    assert_eq!(update("CustomResourceDefinition", "", keeps, label), [""; 0]);
}
