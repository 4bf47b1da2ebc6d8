//! No facts file, however mangled, makes it panic; unknown fields survive; redaction leaves no address or host name.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may end where it stands"
)]
#[allow(dead_code, reason = "shared by several tests")]
mod recorded;

use preflight::cloud::CloudFacts;
use preflight::cluster::ClusterFacts;
use preflight::{Facts, Profile, Redactor, Wanted, judge, judge_cloud, judge_cluster, judge_fleet};
use proptest::prelude::*;
use recorded::{MACHINES, centos7, day, debian13};
use serde_json::{Map, Value, json};

/// Any JSON, with words in it that the judges look for.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        any::<String>(),
        Just("net.bridge.bridge-nf-call-iptables = [{a,b".to_owned()),
        Just("NO_PROXY=\"".to_owned()),
        Just("disabled_plugins = [\"cri\"".to_owned()),
        Just("9999999999999999999.4294967296".to_owned()),
        Just("é=\u{2603}\n-\n=\n[".to_owned()),
        "[a-z./*?\\[\\]{},=\\-0-9\n #;]{0,40}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|pairs| Value::from(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Every place in a document.
fn places(value: &Value, at: String, into: &mut Vec<String>) {
    into.push(at.clone());
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| {
            places(
                v,
                format!("{at}/{}", k.replace('~', "~0").replace('/', "~1")),
                into,
            )
        }),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, v)| places(v, format!("{at}/{i}"), into)),
        _ => {}
    }
}

const PROFILES: [Profile; 4] = [
    Profile::Node,
    Profile::ControlPlane,
    Profile::LocalEngine,
    Profile::Mongodb,
];

fn judge_all(facts: &Facts) {
    for profile in PROFILES {
        for finding in judge(facts, &Wanted::new(profile, day())) {
            finding.changes.iter().for_each(|c| drop(c.diff()));
        }
    }
    let _ = judge_fleet(
        &[facts.clone(), facts.clone()],
        &Wanted {
            kubernetes: u32::MAX,
            ..Wanted::new(Profile::Node, i64::MIN)
        },
    );
    let findings = judge(facts, &Wanted::new(Profile::Node, i64::MAX));
    let _ = preflight::junit(&findings);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Any value at any place of a machine with any trap: it is refused or judged.
    #[test]
    fn mangled_facts_do_no_harm(machine in 0..MACHINES.len() + 1, place in any::<prop::sample::Index>(), value in any_json()) {
        let mut document = if machine == MACHINES.len() { centos7() } else { debian13() };
        if let Some(machine) = MACHINES.get(machine) {
            (machine.trap)(&mut document);
        }
        let mut all = Vec::new();
        places(&document, String::new(), &mut all);
        *document.pointer_mut(&all[place.index(all.len())]).unwrap() = value;
        Redactor::default().redact(&mut document.clone());
        if let Ok(facts) = serde_json::from_value::<Facts>(document) {
            judge_all(&facts);
        }
    }

    /// Any bytes for a string, which is always accepted, so that judges see them.
    #[test]
    fn mangled_texts_do_no_harm(place in any::<prop::sample::Index>(), text in "[a-zA-Z0-9./*?\\[\\]{},=\\-\"'# ;:\né☃]{0,80}") {
        let mut document = debian13();
        let mut all = Vec::new();
        places(&document, String::new(), &mut all);
        all.retain(|p| document.pointer(p).is_some_and(Value::is_string));
        *document.pointer_mut(&all[place.index(all.len())]).unwrap() = text.into();
        judge_all(&serde_json::from_value(document).unwrap());
    }

    #[test]
    fn mangled_clusters_and_clouds_do_no_harm(objects in prop::collection::vec(any_json(), 0..4), name in any::<String>()) {
        let lists = ["nodes", "pods", "services", "endpoint_slices", "events", "deployments", "daemon_sets", "disruption_budgets"];
        let document: Map<String, Value> = lists.iter().map(|l| ((*l).to_owned(), json!(objects))).chain([("version".to_owned(), json!(name))]).collect();
        if let Ok(facts) = serde_json::from_value::<ClusterFacts>(document.into()) {
            let _ = judge_cluster(&facts, &Wanted::new(Profile::Node, day()));
        }
        if let Ok(facts) = serde_json::from_value::<CloudFacts>(json!({"cluster": name, "resources": objects})) {
            let _ = judge_cloud(&facts);
        }
    }

    #[test]
    fn unknown_fields_survive(name in "[a-z]{12}", value in any_json()) {
        let mut document = debian13();
        for place in ["", "/machine", "/sysctl", "/sysctl/files/0", "/network/links/0", "/runtime/containerd", "/kubernetes/certificates/0"] {
            document.pointer_mut(place).unwrap()[&name] = value.clone();
        }
        let facts: Facts = serde_json::from_value(document.clone()).unwrap();
        let back = serde_json::to_value(&facts).unwrap();
        for place in ["", "/machine", "/sysctl", "/sysctl/files/0", "/network/links/0", "/runtime/containerd", "/kubernetes/certificates/0"] {
            prop_assert_eq!(&back.pointer(place).unwrap()[&name], &document.pointer(place).unwrap()[&name]);
        }
    }

    #[test]
    fn redaction_leaves_no_address_or_name(host in "[a-z]{6}-[a-z0-9]{5}", a in 1u8..=223, b in any::<u8>(), v6 in any::<u16>(), mac in any::<[u8; 6]>(), secret in "[A-Za-z0-9]{16}") {
        let v4 = format!("{a}.{b}.7.9");
        prop_assume!(a != 127);
        let v6 = format!("2001:db8::{v6:x}:1");
        let mac: Vec<String> = mac.iter().map(|b| format!("{b:02x}")).collect();
        let mac = mac.join(":");
        let mut document = debian13();
        document["machine"]["hostname"] = format!("{host}.example.org").into();
        document["network"]["links"][0]["address"] = mac.clone().into();
        document["dns"]["resolv_conf"] = format!("nameserver {v4}\nnameserver {v6}\n# of {host}: {v4}, [{v6}]:53, {v4}:53\n").into();
        document["kernel"]["cmdline"] = format!("ip={v4}::{v4} host={host} mac={mac}").into();
        document["proxy_files"] = json!([{"path": "/etc/environment", "text": format!("HTTPS_PROXY=http://user:{secret}@{v4}:3128\npassword={secret}\nNO_PROXY=10.96.0.0/12\n")}]);
        Redactor::default().redact(&mut document);
        let text = document.to_string();
        for leak in [&v4, &v6, &mac, &host, &secret, &format!("{host}.example.org")] {
            prop_assert!(!text.contains(leak.as_str()), "{} in {}", leak, text);
        }
        // What is judged stays.
        prop_assert!(text.contains("10.96.0.0/12"));
        prop_assert!(serde_json::from_value::<Facts>(document).is_ok());
    }
}

/// What is redacted is judged as before.
#[test]
fn redaction_changes_no_finding() {
    for machine in MACHINES.iter().filter(|m| m.finds != "hostname") {
        let mut document = debian13();
        (machine.trap)(&mut document);
        let levels = |document: &Value| -> Vec<_> {
            let facts: Facts = serde_json::from_value(document.clone()).unwrap();
            judge(&facts, &Wanted::new(machine.profile, day()))
                .into_iter()
                .map(|f| (f.id, f.level))
                .collect()
        };
        let before = levels(&document);
        Redactor::default().redact(&mut document);
        assert_eq!(levels(&document), before, "{}", machine.name);
    }
}

#[test]
fn a_machine_that_is_called_like_a_secret_is_redacted() {
    let mut document = debian13();
    document["machine"]["hostname"] = "authaa-aaaaa".into();
    document["dns"]["resolv_conf"] = "# of authaa-aaaaa: x\n".into();
    Redactor::default().redact(&mut document);
    assert!(!document.to_string().contains("authaa"), "{document}");
}
