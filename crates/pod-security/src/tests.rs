//! What upstream says of the pods of its own tests (`policy/check_*_test.go`, Kubernetes 1.36).
use serde_json::{Value, json};

use crate::{Level, Standard, Version, details, is_significant_update, reasons, violations};

const ESCALATION: &str = "allowPrivilegeEscalation != false";

fn standard(text: &str) -> Standard {
    let (level, version) = text.split_once(':').unwrap();
    Standard {
        level: Level::parse(level).unwrap(),
        version: Version::parse(version).unwrap(),
    }
}

/// Everything, as one line.
fn all(of: &str, spec: Value) -> String {
    details(&violations(standard(of), &Value::Null, &spec))
}

/// The detail of one reason; empty when it is not given.
fn detail(of: &str, reason: &str, spec: &Value) -> String {
    detail_with(of, reason, &Value::Null, spec)
}

fn detail_with(of: &str, reason: &str, annotations: &Value, spec: &Value) -> String {
    let metadata = json!({"annotations": annotations});
    let found = violations(standard(of), &metadata, spec);
    let mut own = found.into_iter().filter(|v| v.reason == reason);
    let detail = own.next().map(|v| v.detail).unwrap_or_default();
    assert_eq!(own.next(), None, "a reason is given once");
    detail
}

/// Containers `a`, `b`, … with these security contexts.
fn contexts(contexts: &[Value]) -> Value {
    let names = "abcdefgh".chars().map(String::from);
    let containers: Vec<Value> = names
        .zip(contexts)
        .map(|(name, context)| json!({"name": name, "securityContext": context}))
        .collect();
    json!({"containers": containers})
}

fn with_pod_context(mut spec: Value, context: Value) -> Value {
    spec["securityContext"] = context;
    spec
}

/// What the restricted level wants.
fn hardened() -> Value {
    json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"}})
}

#[test]
fn a_plain_pod() {
    let plain = json!({"containers": [{"name": "c", "image": "x"}]});
    assert_eq!(all("privileged:latest", plain.clone()), "");
    assert_eq!(all("baseline:latest", plain.clone()), "");
    assert_eq!(
        all("restricted:latest", plain.clone()),
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    assert_eq!(
        reasons(&violations(standard("restricted:latest"), &Value::Null, &plain)),
        "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    );
    assert_eq!(all("restricted:latest", contexts(&[hardened(), hardened()])), "");
}

#[test]
fn order_is_baseline_first() {
    let spec = json!({"hostNetwork": true, "hostPID": true, "hostIPC": true, "containers": [
        {"name": "c", "securityContext": {"privileged": true}}]});
    let found = violations(standard("restricted:latest"), &Value::Null, &spec);
    assert_eq!(
        reasons(&found),
        "host namespaces, privileged, allowPrivilegeEscalation != false, unrestricted capabilities, \
         runAsNonRoot != true, seccompProfile"
    );
    assert_eq!(found[0].detail, "hostNetwork=true, hostPID=true, hostIPC=true");
    assert_eq!(
        all("baseline:latest", spec),
        "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true), \
         privileged (container \"c\" must not set securityContext.privileged=true)"
    );
}

#[test]
fn containers_of_the_start_and_of_debugging_count() {
    let spec = json!({"containers": [{"name": "b"}], "initContainers": [{"name": "a"}], "ephemeralContainers": [{"name": "c"}]});
    assert_eq!(
        detail("restricted:latest", ESCALATION, &spec),
        "containers \"a\", \"b\", \"c\" must set securityContext.allowPrivilegeEscalation=false"
    );
}

#[test]
fn capabilities() {
    let spec = contexts(&[
        json!({"capabilities": {"add": ["FOO", "BAR"]}}),
        json!({"capabilities": {"add": ["BAR", "BAZ"]}}),
        json!({"capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"], "drop": ["ALL", "FOO"]}}),
    ]);
    let baseline = "containers \"a\", \"b\" must not include \"BAR\", \"BAZ\", \"FOO\" in securityContext.capabilities.add";
    assert_eq!(
        detail("baseline:latest", "non-default capabilities", &spec),
        baseline
    );
    assert_eq!(
        detail("restricted:latest", "unrestricted capabilities", &spec),
        "containers \"a\", \"b\" must set securityContext.capabilities.drop=[\"ALL\"]; containers \"a\", \"b\", \"c\" must not \
         include \"BAR\", \"BAZ\", \"CHOWN\", \"FOO\" in securityContext.capabilities.add"
    );
    // The stricter rule stands in for the other since 1.22.
    assert_eq!(detail("restricted:v1.22", "non-default capabilities", &spec), "");
    assert_eq!(
        detail("restricted:v1.21", "non-default capabilities", &spec),
        baseline
    );
    assert_eq!(detail("restricted:v1.21", "unrestricted capabilities", &spec), "");
}

#[test]
fn windows_is_let_off_since_1_25() {
    let mut spec = json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "a"}]});
    assert_eq!(all("restricted:v1.25", spec.clone()), "");
    assert_eq!(
        reasons(&violations(standard("restricted:v1.24"), &Value::Null, &spec)),
        "allowPrivilegeEscalation != false, unrestricted capabilities, seccompProfile"
    );
    spec["os"]["name"] = "linux".into();
    assert_eq!(
        detail("restricted:v1.25", ESCALATION, &spec),
        "container \"a\" must set securityContext.allowPrivilegeEscalation=false"
    );
}

#[test]
fn users_of_its_own_are_let_off_since_1_35() {
    let mut spec = contexts(&[
        json!({"runAsUser": 0, "procMount": "Unmasked"}),
        json!({"runAsUser": 0, "procMount": "other"}),
    ]);
    let mount = "containers \"a\", \"b\" must not set securityContext.procMount to \"Unmasked\", \"other\"";
    spec["hostUsers"] = false.into();
    for version in ["v1.34", "v1.35", "latest"] {
        let (baseline, restricted) = (format!("baseline:{version}"), format!("restricted:{version}"));
        let old = version == "v1.34";
        assert_eq!(
            detail(&baseline, "procMount", &spec),
            if old { mount } else { "" },
            "{version}"
        );
        assert_eq!(detail(&restricted, "procMount", &spec), mount, "{version}");
        assert_eq!(
            detail(&restricted, "runAsUser=0", &spec),
            if old {
                "containers \"a\", \"b\" must not set runAsUser=0"
            } else {
                ""
            }
        );
        assert_eq!(
            detail(&restricted, "runAsNonRoot != true", &spec).is_empty(),
            !old,
            "{version}"
        );
    }
    spec["hostUsers"] = true.into();
    assert_eq!(detail("baseline:latest", "procMount", &spec), mount);
}

#[test]
fn as_whom() {
    const REASON: &str = "runAsNonRoot != true";
    let own = |values: [Option<bool>; 4]| contexts(&values.map(|value| json!({"runAsNonRoot": value})));
    let pod = |value: bool, spec: Value| with_pod_context(spec, json!({"runAsNonRoot": value}));
    let mixed = own([None, Some(true), Some(false), Some(false)]);
    let explicit = "containers \"c\", \"d\" must not set securityContext.runAsNonRoot=false";
    assert_eq!(detail("restricted:latest", REASON, &mixed), explicit);
    assert_eq!(
        detail("restricted:latest", REASON, &pod(true, mixed.clone())),
        explicit
    );
    assert_eq!(
        detail("restricted:latest", REASON, &pod(false, mixed)),
        format!("pod and {explicit}")
    );
    let implicit = own([None, None, Some(true), Some(true)]);
    assert_eq!(
        detail("restricted:latest", REASON, &implicit),
        "pod or containers \"a\", \"b\" must set securityContext.runAsNonRoot=true"
    );
    assert_eq!(detail("restricted:latest", REASON, &pod(true, implicit)), "");

    let zero = with_pod_context(contexts(&[json!({"runAsUser": 1})]), json!({"runAsUser": 0}));
    assert_eq!(
        detail("restricted:v1.23", "runAsUser=0", &zero),
        "pod must not set runAsUser=0"
    );
    assert_eq!(detail("restricted:v1.22", "runAsUser=0", &zero), "");
}

#[test]
fn volumes() {
    let spec = json!({"volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "nfs": {}}, {"name": "c", "emptyDir": {}},
        {"name": "d"}, {"name": "e", "hostPath": {"path": "/"}}, {"name": "f", "image": {}}]});
    assert_eq!(
        detail("baseline:latest", "hostPath volumes", &spec),
        "volumes \"a\", \"e\""
    );
    assert_eq!(detail("restricted:latest", "hostPath volumes", &spec), "");
    assert_eq!(
        detail("restricted:latest", "restricted volume types", &spec),
        "volumes \"a\", \"b\", \"d\", \"e\" use restricted volume types \"hostPath\", \"nfs\", \"unknown\""
    );
    let one = json!({"volumes": [{"name": "a", "gitRepo": {}}]});
    assert_eq!(
        detail("restricted:v1.0", "restricted volume types", &one),
        "volume \"a\" uses restricted volume type \"gitRepo\""
    );
}

#[test]
fn ports_of_the_node() {
    let ports = |numbers: &[u16]| -> Vec<Value> { numbers.iter().map(|n| json!({"hostPort": n})).collect() };
    let one =
        json!({"containers": [{"name": "a", "ports": ports(&[0])}, {"name": "b", "ports": ports(&[0, 20])}]});
    assert_eq!(
        detail("baseline:latest", "hostPort", &one),
        "container \"b\" uses hostPort 20"
    );
    let many = json!({"containers": [{"name": "a", "ports": ports(&[0])}, {"name": "b", "ports": ports(&[0, 10, 20])},
        {"name": "c", "ports": ports(&[0, 10, 30])}]});
    assert_eq!(
        detail("baseline:latest", "hostPort", &many),
        "containers \"b\", \"c\" use hostPorts 10, 20, 30"
    );
}

#[test]
fn hosts_of_probes_since_1_34() {
    const REASON: &str = "probe or lifecycle host";
    let probed = json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "127.0.0.1"}},
        "readinessProbe": {"tcpSocket": {"host": "::1"}}, "startupProbe": {"httpGet": {"host": "localhost"}}}]});
    assert_eq!(
        detail("baseline:latest", REASON, &probed),
        "container \"a\" uses probe or lifecycle hosts \"127.0.0.1\", \"::1\", \"localhost\""
    );
    assert_eq!(detail("baseline:v1.33", REASON, &probed), "");
    let handled = json!({"containers": [
        {"name": "z", "lifecycle": {"postStart": {"httpGet": {"host": "a.com"}}, "preStop": {"httpGet": {"port": 1}}}},
        {"name": "y", "lifecycle": {"preStop": {"tcpSocket": {"host": "a.com"}}}}]});
    assert_eq!(
        detail("restricted:v1.34", REASON, &handled),
        "containers \"y\", \"z\" use probe or lifecycle host \"a.com\""
    );
}

#[test]
fn sysctls_by_version() {
    let of = |version: &str| {
        let names = [
            "kernel.shm_rmid_forced",
            "a",
            "net.ipv4.ip_local_reserved_ports",
            "net.ipv4.tcp_fin_timeout",
            "net.ipv4.tcp_rmem",
        ];
        let sysctls: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        let spec = json!({"securityContext": {"sysctls": sysctls}});
        detail(&format!("baseline:{version}"), "forbidden sysctls", &spec)
    };
    assert_eq!(
        of("v1.26"),
        "a, net.ipv4.ip_local_reserved_ports, net.ipv4.tcp_fin_timeout, net.ipv4.tcp_rmem"
    );
    assert_eq!(of("v1.27"), "a, net.ipv4.tcp_fin_timeout, net.ipv4.tcp_rmem");
    assert_eq!(of("v1.31"), "a, net.ipv4.tcp_rmem");
    assert_eq!(of("v1.32"), "a");
    assert_eq!(of("latest"), "a");
}

#[test]
fn app_armor() {
    let unconfined = json!({"appArmorProfile": {"type": "Unconfined"}});
    let confined = json!({"appArmorProfile": {"type": "RuntimeDefault"}});
    let (one, many) = ("forbidden AppArmor profile", "forbidden AppArmor profiles");
    let pod = with_pod_context(contexts(&[]), unconfined.clone());
    assert_eq!(
        detail("baseline:latest", one, &pod),
        "pod must not set AppArmor profile type to \"Unconfined\""
    );
    let container = with_pod_context(contexts(&[unconfined]), confined);
    assert_eq!(
        detail("baseline:latest", one, &container),
        "container \"a\" must not set AppArmor profile type to \"Unconfined\""
    );
    let annotations = json!({
        "container.apparmor.security.beta.kubernetes.io/": "bogus",
        "container.apparmor.security.beta.kubernetes.io/a": "",
        "container.apparmor.security.beta.kubernetes.io/b": "runtime/default",
        "container.apparmor.security.beta.kubernetes.io/c": "localhost/",
        "container.apparmor.security.beta.kubernetes.io/e": "unconfined",
    });
    assert_eq!(
        detail_with("baseline:latest", many, &annotations, &Value::Null),
        "annotations must not set AppArmor profile type to \
         \"container.apparmor.security.beta.kubernetes.io/=\"bogus\"\", \
         \"container.apparmor.security.beta.kubernetes.io/e=\"unconfined\"\""
    );
    assert_eq!(
        detail_with("baseline:latest", many, &annotations, &pod),
        "pod and annotations must not set AppArmor profile type to \"Unconfined\", \
         \"container.apparmor.security.beta.kubernetes.io/=\"bogus\"\", \
         \"container.apparmor.security.beta.kubernetes.io/e=\"unconfined\"\""
    );
}

#[test]
fn seccomp() {
    const REASON: &str = "seccompProfile";
    let profile = |kind: &str| json!({"seccompProfile": {"type": kind}});
    let mixed = contexts(&[
        json!({}),
        profile("Localhost"),
        profile("Unconfined"),
        profile("Unconfined"),
    ]);
    let explicit =
        "containers \"c\", \"d\" must not set securityContext.seccompProfile.type to \"Unconfined\"";
    for level in ["baseline:latest", "restricted:latest"] {
        assert_eq!(detail(level, REASON, &mixed), explicit);
        let pod = with_pod_context(mixed.clone(), profile("Unconfined"));
        assert_eq!(detail(level, REASON, &pod), format!("pod and {explicit}"));
    }
    let implicit = contexts(&[json!({}), Value::Null, profile("RuntimeDefault")]);
    assert_eq!(detail("baseline:latest", REASON, &implicit), "");
    assert_eq!(
        detail("restricted:latest", REASON, &implicit),
        "pod or containers \"a\", \"b\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
    );
    let pod = with_pod_context(implicit, profile("Localhost"));
    assert_eq!(detail("restricted:latest", REASON, &pod), "");

    let annotations = json!({"seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        "container.seccomp.security.alpha.kubernetes.io/a": "unconfined",
        "container.seccomp.security.alpha.kubernetes.io/b": "localhost/x",
        "container.seccomp.security.alpha.kubernetes.io/nobody": "unconfined"});
    assert_eq!(
        detail_with("restricted:v1.18", REASON, &annotations, &mixed),
        "forbidden annotations container.seccomp.security.alpha.kubernetes.io/a=\"unconfined\", \
         seccomp.security.alpha.kubernetes.io/pod=\"unconfined\""
    );
    assert_eq!(
        detail_with("baseline:v1.19", REASON, &annotations, &Value::Null),
        ""
    );
}

#[test]
fn se_linux() {
    const REASON: &str = "seLinuxOptions";
    let options = |kind: &str, user: &str, role: &str| json!({"seLinuxOptions": {"type": kind, "user": user, "role": role}});
    let spec = contexts(&[
        json!({}),
        options("container_t", "", ""),
        options("bar", "", ""),
        options("", "bar", ""),
        options("", "", "baz"),
    ]);
    let who = "containers \"c\", \"d\", \"e\" set forbidden securityContext.seLinuxOptions: ";
    assert_eq!(
        detail("baseline:latest", REASON, &spec),
        format!("{who}type \"bar\"; user may not be set; role may not be set")
    );
    assert_eq!(
        detail(
            "baseline:latest",
            REASON,
            &with_pod_context(spec, options("foo", "", ""))
        ),
        format!("pod and {who}types \"bar\", \"foo\"; user may not be set; role may not be set")
    );
    let engine = with_pod_context(contexts(&[]), options("container_engine_t", "", ""));
    assert_eq!(detail("baseline:v1.31", REASON, &engine), "");
    assert_eq!(
        detail("baseline:v1.30", REASON, &engine),
        "pod set forbidden securityContext.seLinuxOptions: type \"container_engine_t\""
    );
}

#[test]
fn windows_host_processes() {
    let process = json!({"windowsOptions": {"hostProcess": true}});
    let spec = with_pod_context(contexts(&[json!({}), process.clone()]), process);
    assert_eq!(
        detail("baseline:latest", "hostProcess", &spec),
        "pod and container \"b\" must not set securityContext.windowsOptions.hostProcess=true"
    );
}

#[test]
fn updates_that_matter() {
    let spec = |image: &str| json!({"containers": [{"name": "a", "image": image}], "initContainers": [{"name": "i", "image": "x"}]});
    let old = spec("x");
    assert!(!is_significant_update(&spec("x"), &old));
    assert!(is_significant_update(&spec("y"), &old));
    let mut tolerant = spec("x");
    tolerant["tolerations"] = json!([{"operator": "Exists"}]);
    assert!(!is_significant_update(&tolerant, &old));
    let mut debugged = spec("x");
    debugged["ephemeralContainers"] = json!([{"name": "d", "image": "x"}]);
    assert!(is_significant_update(&debugged, &old), "a container is added");
    assert!(!is_significant_update(&debugged, &debugged));
    let mut more = debugged.clone();
    more["ephemeralContainers"][0]["image"] = "y".into();
    assert!(is_significant_update(&more, &debugged));
}
