//! What goes on between a client and a container: logs, exec, attach, port-forward.
use std::sync::Arc;

use engine_store::Stored;
use schema::KindInfo;
use streaming::{NodeStreams, StreamError, Target};

use crate::{
    api::{Api, Call},
    auth::rbac::Attributes,
    json::{list, text},
    status::{ApiError, Result},
};

mod exec;
mod exec_spdy;
mod forward;
mod logs;
mod upgrade;
mod websocket;
mod wire;

/// A node agent's failure as a Status.
pub fn stream_error(error: StreamError) -> ApiError {
    let reason = match error.code {
        400 => "BadRequest",
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    ApiError::new(error.code, reason, error.message)
}

impl Api {
    pub(crate) fn node_streams(&self) -> Result<Arc<dyn NodeStreams>> {
        self.streams
            .get()
            .cloned()
            .ok_or_else(|| ApiError::new(503, "ServiceUnavailable", "no node agent is running"))
    }

    /// What is carried into a pod is a right to `create`, also where a GET opens the WebSocket (kubernetes
    /// `pkg/registry/core/pod/rest/authorize.go`).
    pub(crate) fn may_carry(&self, call: &Call, pods: &'static KindInfo) -> Result<()> {
        let wanted = Attributes {
            verb: "create".to_owned(),
            ..call.route.attributes()
        };
        let decided = self.decide(&call.user, &wanted);
        if decided.allowed {
            return Ok(());
        }
        Err(ApiError::forbidden(pods, &call.route.name, decided.reason))
    }

    /// The container of a pod that a request is about (kubernetes `pkg/registry/core/pod/strategy.go` streamLocation).
    pub(crate) fn target(&self, call: &Call, pods: &'static KindInfo) -> Result<(Arc<Stored>, Target)> {
        let (namespace, name) = (call.route.namespace.as_str(), call.route.name.as_str());
        let pod = self.fetch(pods, namespace, name)?;
        let container = container(&pod.value(), name, call.query.get("container"))?;
        let node = text(&pod.value(), "/spec/nodeName").to_owned();
        let target = Target {
            namespace: namespace.to_owned(),
            pod: name.to_owned(),
            uid: text(&pod.value(), "/metadata/uid").to_owned(),
            node,
            container,
        };
        Ok((pod, target))
    }
}

fn container(pod: &serde_json::Value, name: &str, asked: Option<&str>) -> Result<String> {
    let names = |at: &str| list(pod, at).iter().map(|c| text(c, "/name")).collect::<Vec<_>>();
    let (main, init) = (names("/spec/containers"), names("/spec/initContainers"));
    let debugging = names("/spec/ephemeralContainers");
    if let Some(asked) = asked {
        if [&main, &init, &debugging]
            .iter()
            .any(|list| list.contains(&asked))
        {
            return Ok(asked.to_owned());
        }
        return Err(ApiError::bad_request(format!(
            "container {asked} is not valid for pod {name}"
        )));
    }
    match main.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {name}"
        ))),
        _ => {
            // validateContainer in pkg/registry/core/pod/strategy.go
            let all = [init, main, debugging].concat();
            Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                all.join(" ")
            )))
        }
    }
}
