//! When what endpoints show has changed: who watches them learns how late it is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::meta::{Key, Meta};
use crate::pods;

pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// When that happened which changes a Service's endpoints: the first of the pods' turns of readiness that have not been seen
/// before; for a Service that is new, its making (staging/src/k8s.io/endpointslice/util/trigger_time_tracker.go).
#[derive(Default)]
pub(crate) struct TriggerTimes(Mutex<HashMap<Key, HashMap<String, Timestamp>>>);

impl TriggerTimes {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, HashMap<String, Timestamp>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn next(&self, service: &Service, members: &[Arc<Pod>]) -> Option<Timestamp> {
        let turned = |pod: &Arc<Pod>| {
            let ready = pods::condition(pod, "Ready")?;
            Some((pod.name().to_owned(), ready.last_transition_time.as_ref()?.0))
        };
        let now: HashMap<String, Timestamp> = members.iter().filter_map(turned).collect();
        let Some(before) = self.lock().insert(service.key(), now.clone()) else {
            return Some(service.created());
        };
        let news = now
            .into_iter()
            .filter(|(pod, at)| before.get(pod).is_none_or(|b| b < at));
        news.map(|(_, at)| at).min()
    }

    pub fn forget(&self, service: &Key) {
        self.lock().remove(service);
    }
}

/// Tells the time in the annotation, which goes when there is none to tell.
pub(crate) fn tell_trigger(metadata: &mut ObjectMeta, at: Option<Timestamp>) {
    let annotations = metadata.annotations.get_or_insert_default();
    match at {
        Some(at) => annotations.insert(TRIGGER_TIME.into(), at.to_string()),
        None => annotations.remove(TRIGGER_TIME),
    };
    metadata.annotations = metadata.annotations.take().filter(|a| !a.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_time_that_is_told() {
        let times = TriggerTimes::default();
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let turned = |name: &str, time: &str| -> Arc<Pod> {
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": time});
            let pod = json!({"metadata": {"name": name}, "status": {"conditions": [ready]}});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        let made = json!({"name": "s", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let service: Service = serde_json::from_value(json!({"metadata": made})).unwrap();
        let (a, b) = ("2026-01-01T00:00:02Z", "2026-01-01T00:00:01Z");
        assert_eq!(times.next(&service, &[]), Some(at("2026-01-01T00:00:00Z")));
        assert_eq!(
            times.next(&service, &[turned("a", a), turned("b", b)]),
            Some(at(b))
        );
        assert_eq!(times.next(&service, &[turned("a", a)]), None, "one less");
        let mut metadata = ObjectMeta::default();
        tell_trigger(&mut metadata, Some(at(a)));
        assert_eq!(metadata.annotations.as_ref().unwrap()[TRIGGER_TIME], a);
        tell_trigger(&mut metadata, None);
        assert_eq!(metadata.annotations, None);
    }
}
