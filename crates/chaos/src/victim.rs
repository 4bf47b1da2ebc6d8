use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use sha2::{Digest as _, Sha256};

use crate::{Count, Error, Role, Target, store};

/// On nodes of the control plane (kubeadm's label).
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// Pods that are Ready, not on their way out, and chosen.
pub(crate) async fn pods(client: &Client, target: &Target) -> Result<Vec<Pod>, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
    if let Some(name) = &target.name {
        let found = api
            .get_opt(name)
            .await
            .map_err(Error::api(format!("read pod {}/{name}", target.namespace)))?;
        return found.map(|pod| vec![pod]).ok_or_else(|| {
            Error::NoVictim(format!(
                "there is no pod {name} in namespace {}",
                target.namespace
            ))
        });
    }
    let listed = api
        .list(&ListParams::default().labels(&target.labels))
        .await
        .map_err(Error::api(format!(
            "list the pods of namespace {}",
            target.namespace
        )))?;
    let mut ready: Vec<Pod> = listed.into_iter().filter(is_ready).collect();
    let of = if target.labels.is_empty() {
        String::new()
    } else {
        format!(" with {}", target.labels)
    };
    if ready.is_empty() {
        return Err(Error::NoVictim(format!(
            "no pod{of} in namespace {} is Ready, so there is nothing to break",
            target.namespace
        )));
    }
    if target.role == Some(Role::RedisMaster) {
        let masters = store::masters(client, &target.namespace, &ready).await?;
        ready.retain(|pod| masters.iter().any(|m| pod.metadata.name.as_deref() == Some(m)));
    }
    Ok(choose(ready, name, target.count, target.seed))
}

/// Nodes that are chosen.
pub(crate) async fn nodes(client: &Client, target: &Target) -> Result<Vec<Node>, Error> {
    let api: Api<Node> = Api::all(client.clone());
    let listed = api
        .list(&ListParams::default().labels(&target.labels))
        .await
        .map_err(Error::api("list the nodes"))?;
    let found: Vec<Node> = listed
        .into_iter()
        .filter(|node| target.name.is_none() || node.metadata.name == target.name)
        // Without its control plane a cluster shows nothing; whoever means it names it.
        .filter(|node| target.name.is_some() || !node.labels().contains_key(CONTROL_PLANE))
        .collect();
    if found.is_empty() {
        return Err(Error::NoVictim(match &target.name {
            Some(name) => format!("there is no node {name}"),
            None => format!(
                "there is no node{} beside those of the control plane; one of those has to be named",
                if target.labels.is_empty() {
                    String::new()
                } else {
                    format!(" with {}", target.labels)
                }
            ),
        }));
    }
    Ok(choose(
        found,
        |node| node.metadata.name.clone().unwrap_or_default(),
        target.count,
        target.seed,
    ))
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// Those whose hash with the seed is smallest: the order in which they were listed does not matter, and one that comes or goes
/// does not change what is chosen of the others.
fn choose<T>(candidates: Vec<T>, name: impl Fn(&T) -> String, count: Count, seed: u64) -> Vec<T> {
    let wanted = count.of(candidates.len());
    let mut ranked: Vec<(Vec<u8>, T)> = candidates
        .into_iter()
        .map(|candidate| {
            let hash = Sha256::new()
                .chain_update(seed.to_be_bytes())
                .chain_update(name(&candidate))
                .finalize();
            (hash.to_vec(), candidate)
        })
        .collect();
    ranked.sort_by(|a, b| a.0.cmp(&b.0));
    ranked.into_iter().take(wanted).map(|(_, one)| one).collect()
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_deref())
        .unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_same_seed_chooses_the_same_in_any_order(
            names in prop::collection::btree_set("[a-z]{4,8}", 1..20),
            seed in any::<u64>(),
            percent in 0u8..=100,
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let reversed: Vec<String> = names.iter().rev().cloned().collect();
            let count = Count::Percent(percent);
            let chosen = choose(names.clone(), Clone::clone, count, seed);
            prop_assert_eq!(&chosen, &choose(reversed, Clone::clone, count, seed));
            prop_assert_eq!(chosen.len(), (names.len() * usize::from(percent)).div_ceil(100));
            // Who is not chosen may go without changing the choice.
            let most = Count::Exactly(chosen.len() as u32);
            prop_assert_eq!(&chosen, &choose(chosen.clone(), Clone::clone, most, seed));
        }
    }

    #[test]
    fn seeds_matter() {
        let names: Vec<String> = (0..50).map(|n| format!("pod-{n}")).collect();
        let first = |seed| choose(names.clone(), Clone::clone, Count::Exactly(1), seed);
        let different: std::collections::BTreeSet<_> = (0..50).map(first).collect();
        assert!(different.len() > 20, "{different:?}");
    }
}
