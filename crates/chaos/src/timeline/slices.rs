use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use results::What;

use super::{News, app};

/// Who is served: endpoints that are ready, and which pod each is.
fn serving(slice: Option<&EndpointSlice>) -> BTreeMap<String, String> {
    let endpoints = slice.and_then(|s| s.endpoints.as_deref()).unwrap_or_default();
    endpoints
        .iter()
        // Absent means ready (discovery/v1).
        .filter(|e| e.conditions.as_ref().and_then(|c| c.ready) != Some(false))
        .filter_map(|e| {
            let address = e.addresses.first()?.clone();
            let pod = e.target_ref.as_ref().and_then(|t| t.name.clone());
            Some((address.clone(), format!("pod/{}", pod.unwrap_or(address))))
        })
        .collect()
}

/// Which endpoints a Service has gained and lost.
pub(super) fn news(old: Option<&EndpointSlice>, new: Option<&EndpointSlice>) -> Vec<News> {
    let Some(slice) = new.or(old) else {
        return Vec::new();
    };
    let service = slice
        .metadata
        .labels
        .as_ref()
        .and_then(|l| l.get("kubernetes.io/service-name"))
        .cloned()
        .unwrap_or_default();
    let (before, now) = (serving(old), serving(new));
    let tell =
        |what, pod: &String| News::of(what, pod.clone(), app(slice)).detail(format!("service/{service}"));
    let lost = before
        .iter()
        .filter(|(address, _)| !now.contains_key(*address))
        .map(|(_, pod)| tell(What::EndpointRemoved, pod));
    let gained = now
        .iter()
        .filter(|(address, _)| !before.contains_key(*address))
        .map(|(_, pod)| tell(What::EndpointAdded, pod));
    lost.chain(gained).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_come_and_go_with_their_readiness() {
        let slice = |ready: &[(&str, bool)]| -> EndpointSlice {
            let endpoints: Vec<_> = ready
                .iter()
                .map(|(ip, ready)| {
                    json!({"addresses": [ip], "conditions": {"ready": ready}, "targetRef": {"name": format!("p-{ip}")}})
                })
                .collect();
            serde_json::from_value(json!({
                "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "tally", "app.kubernetes.io/name": "tally"}},
                "addressType": "IPv4", "endpoints": endpoints,
            }))
            .expect("a slice")
        };
        let (both, one) = (
            slice(&[("1", true), ("2", true)]),
            slice(&[("1", false), ("2", true)]),
        );
        let told = |old, new| -> Vec<(What, String)> {
            news(old, new).into_iter().map(|n| (n.what, n.object)).collect()
        };
        assert_eq!(
            told(Some(&both), Some(&one)),
            [(What::EndpointRemoved, "pod/p-1".to_owned())]
        );
        assert_eq!(
            told(Some(&one), Some(&both)),
            [(What::EndpointAdded, "pod/p-1".to_owned())]
        );
        assert_eq!(told(None, Some(&one)).len(), 1);
        assert_eq!(
            told(Some(&one), None),
            [(What::EndpointRemoved, "pod/p-2".to_owned())]
        );
        assert_eq!(news(Some(&both), Some(&one))[0].app.as_deref(), Some("tally"));
    }
}
