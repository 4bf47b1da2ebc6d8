//! The files of configMap, secret, downwardAPI and projected volumes.
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, Pod, SecretProjection,
    ServiceAccount, ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use kube::Api;
use kube::api::PostParams;

use super::atomic::{File, Payload};
use super::{Token, Volumes, renewal};
use crate::downward::{self, Facts};
use crate::objects::Kind;

const DEFAULT_MODE: i32 = 0o644;

impl Volumes {
    /// The files of a volume that is made of objects; `None` for other kinds.
    pub(super) async fn payload(
        &mut self,
        pod: &Pod,
        facts: &Facts,
        volume: &Volume,
    ) -> Result<Option<Payload>, String> {
        let Some((sources, mode)) = sources(volume) else {
            return Ok(None);
        };
        let mut files = Payload::new();
        let mode = mode.unwrap_or(DEFAULT_MODE);
        for source in &sources {
            if let Some(map) = &source.config_map {
                let items = map.items.as_deref();
                self.object(&mut files, Kind::ConfigMap, &map.name, items, mode, map.optional)
                    .await?;
            } else if let Some(secret) = &source.secret {
                let items = secret.items.as_deref();
                self.object(
                    &mut files,
                    Kind::Secret,
                    &secret.name,
                    items,
                    mode,
                    secret.optional,
                )
                .await?;
            } else if let Some(downward) = &source.downward_api {
                let items = downward.items.as_deref().unwrap_or_default();
                from_pod(pod, facts, &mut files, items, mode)?;
            } else if let Some(token) = &source.service_account_token {
                let file = self.token(pod, &volume.name, token, mode).await?;
                files.insert(token.path.clone(), file);
            } else if source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some() {
                return Err(
                    "clusterTrustBundle and podCertificate sources are not supported by this node".into(),
                );
            }
        }
        Ok(Some(files))
    }

    async fn object(
        &mut self,
        files: &mut Payload,
        kind: Kind,
        name: &str,
        items: Option<&[KeyToPath]>,
        mode: i32,
        optional: Option<bool>,
    ) -> Result<(), String> {
        let optional = optional == Some(true);
        let source = match self.source(kind, name).await? {
            Some(source) => source,
            None if optional => return Ok(()),
            None => return Err(format!("{} \"{name}\" not found", kind.word())),
        };
        let content: BTreeMap<&String, &Vec<u8>> = source.all().collect();
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            for (key, value) in content {
                files.insert(key.clone(), file(value.clone(), mode));
            }
            return Ok(());
        };
        for item in items {
            match content.get(&item.key) {
                Some(value) => {
                    files.insert(
                        item.path.clone(),
                        file((*value).clone(), item.mode.unwrap_or(mode)),
                    );
                }
                None if optional => {}
                None => {
                    // pkg/volume/configmap and pkg/volume/secret, MakePayload
                    let references = match kind.word() {
                        "configmap" => "configmap references non-existent config key",
                        _ => "references non-existent secret key",
                    };
                    return Err(format!("{references}: {}", item.key));
                }
            }
        }
        Ok(())
    }

    async fn token(
        &mut self,
        pod: &Pod,
        volume: &str,
        projection: &ServiceAccountTokenProjection,
        mode: i32,
    ) -> Result<File, String> {
        let audience = projection.audience.clone().unwrap_or_default();
        let key = format!("{volume}/{}/{audience}", projection.path);
        let now = Timestamp::now();
        let current = self.tokens.get(&key).cloned();
        let token = match current {
            Some(token) if now < token.refresh_at => token,
            old => match self.request(pod, projection, now).await {
                Ok(token) => token,
                // An old token is better than none; it is asked for again soon.
                Err(why) => match old {
                    Some(old) => {
                        tracing::warn!(pod = pod.metadata.name.as_deref(), why, "token not renewed");
                        Token {
                            refresh_at: now + jiff::SignedDuration::from_secs(10),
                            ..old
                        }
                    }
                    None => return Err(why),
                },
            },
        };
        self.tokens.insert(key, token.clone());
        let spec = pod.spec.as_ref();
        let group = spec
            .and_then(|spec| spec.security_context.as_ref())
            .and_then(|security| security.fs_group);
        let owner = single_user(pod);
        let mode = if owner.is_some() || group.is_some() {
            0o600
        } else {
            mode
        };
        Ok(File {
            content: token.value.into_bytes(),
            mode: mode as u32,
            uid: owner,
        })
    }

    async fn request(
        &self,
        pod: &Pod,
        projection: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> Result<Token, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let account = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.as_deref())
            .unwrap_or("default");
        let accounts: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(
                    projection
                        .audience
                        .clone()
                        .into_iter()
                        .filter(|name| !name.is_empty())
                        .collect(),
                ),
                expiration_seconds: Some(projection.expiration_seconds.unwrap_or(3600)),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
            }),
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .map_err(|err| format!("failed to fetch token: {}", crate::error::api_message(&err)))?;
        let status = answer
            .status
            .ok_or("failed to fetch token: the answer has no status")?;
        let (Some(value), Some(expires)) = (status.token, status.expiration_timestamp) else {
            return Err("failed to fetch token: the answer has no token".into());
        };
        Ok(Token {
            value,
            refresh_at: renewal(now, expires.0),
        })
    }
}

/// What a volume is projected from, one source or several, and the mode of its files; `None` when it is made of something else.
fn sources(volume: &Volume) -> Option<(Vec<VolumeProjection>, Option<i32>)> {
    let (source, mode) = if let Some(map) = &volume.config_map {
        let config_map = Some(ConfigMapProjection {
            items: map.items.clone(),
            name: map.name.clone(),
            optional: map.optional,
        });
        (
            VolumeProjection {
                config_map,
                ..VolumeProjection::default()
            },
            map.default_mode,
        )
    } else if let Some(secret) = &volume.secret {
        let projection = Some(SecretProjection {
            items: secret.items.clone(),
            name: secret.secret_name.clone().unwrap_or_default(),
            optional: secret.optional,
        });
        (
            VolumeProjection {
                secret: projection,
                ..VolumeProjection::default()
            },
            secret.default_mode,
        )
    } else if let Some(downward) = &volume.downward_api {
        let downward_api = Some(DownwardAPIProjection {
            items: downward.items.clone(),
        });
        (
            VolumeProjection {
                downward_api,
                ..VolumeProjection::default()
            },
            downward.default_mode,
        )
    } else {
        let projected = volume.projected.as_ref()?;
        return Some((
            projected.sources.clone().unwrap_or_default(),
            projected.default_mode,
        ));
    };
    Some((vec![source], mode))
}

fn file(content: Vec<u8>, mode: i32) -> File {
    File {
        content,
        mode: mode as u32 & 0o7777,
        uid: None,
    }
}

fn from_pod(
    pod: &Pod,
    facts: &Facts,
    files: &mut Payload,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
) -> Result<(), String> {
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            downward::field(pod, facts, &field.field_path)?
        } else if let Some(resource) = &item.resource_field_ref {
            downward::resource(pod, facts, resource, "")?
        } else {
            continue;
        };
        files.insert(
            item.path.clone(),
            file(text.into_bytes(), item.mode.unwrap_or(mode)),
        );
    }
    Ok(())
}

/// The user that all containers run as, if the spec says that it is one (getPodFsUser).
fn single_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let shared = spec
        .security_context
        .as_ref()
        .and_then(|security| security.run_as_user);
    let mut users = crate::resources::containers(pod).map(|container| {
        container
            .security_context
            .as_ref()
            .and_then(|security| security.run_as_user)
            .or(shared)
    });
    let first = users.next()??;
    users
        .all(|user| user == Some(first))
        .then(|| u32::try_from(first).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_tokens_is_the_only_user() {
        let pod = |spec: serde_json::Value| -> Pod {
            serde_json::from_value(serde_json::json!({"spec": spec})).unwrap()
        };
        let both = pod(
            serde_json::json!({"securityContext": {"runAsUser": 7}, "containers": [{"name": "a"}, {"name": "b"}]}),
        );
        assert_eq!(single_user(&both), Some(7));
        let mixed = pod(
            serde_json::json!({"containers": [{"name": "a", "securityContext": {"runAsUser": 7}}, {"name": "b"}]}),
        );
        assert_eq!(single_user(&mixed), None);
    }
}
