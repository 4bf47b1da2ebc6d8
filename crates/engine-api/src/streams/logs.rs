//! `pods/log`.
use futures::StreamExt;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use schema::KindInfo;
use serde_json::json;
use streaming::LogOptions;
use validation::Cause;

use crate::{
    answer::{self, Body, BodyError},
    api::{Api, Call},
    status::{ApiError, Result},
    streams::stream_error,
};

impl Api {
    /// The log of a container, as it is or as it goes on.
    pub async fn logs(&self, call: &Call, pods: &'static KindInfo) -> Result<Response<Body>> {
        let options = options(call)?;
        let (_, target) = self.target(call, pods)?;
        if target.node.is_empty() {
            // Upstream: nothing has run yet, and nothing is said.
            return Ok(answer::text(200, ""));
        }
        let stream = self
            .node_streams()?
            .logs(&target, options)
            .await
            .map_err(stream_error)?;
        let frames = stream.map(|chunk| chunk.map(Frame::data).map_err(BodyError::from));
        let mut response = answer::text(200, "");
        *response.body_mut() = StreamBody::new(frames).boxed_unsync();
        Ok(response)
    }
}

fn options(call: &Call) -> Result<LogOptions> {
    let query = &call.query;
    let mut causes = Vec::new();
    let mut number = |name: &'static str, least: i64| -> Option<i64> {
        let raw = query.get(name)?;
        match raw.parse::<i64>() {
            Ok(value) if value >= least => Some(value),
            Ok(value) => {
                let bound = if least == 0 {
                    "greater than or equal to 0"
                } else {
                    "greater than 0"
                };
                causes.push(Cause {
                    reason: "FieldValueInvalid",
                    field: name.to_owned(),
                    message: format!("Invalid value: {value}: must be {bound}"),
                });
                None
            }
            Err(_) => {
                causes.push(Cause {
                    reason: "FieldValueInvalid",
                    field: name.to_owned(),
                    message: format!("Invalid value: {raw:?}: must be an integer"),
                });
                None
            }
        }
    };
    let options = LogOptions {
        follow: query.truth("follow"),
        previous: query.truth("previous"),
        timestamps: query.truth("timestamps"),
        since_seconds: number("sinceSeconds", 1),
        since_time: query.get("sinceTime").map(str::to_owned),
        tail_lines: number("tailLines", 0),
        limit_bytes: number("limitBytes", 1),
    };
    if options.since_seconds.is_some() && options.since_time.is_some() {
        causes.push(Cause {
            reason: "FieldValueForbidden",
            field: "sinceSeconds".to_owned(),
            message: "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned(),
        });
    }
    if causes.is_empty() {
        Ok(options)
    } else {
        let mut error = ApiError::invalid("", "PodLogOptions", &call.route.name, &causes);
        if let Some(details) = &mut error.details {
            details["name"] = json!(call.route.name);
        }
        Err(error)
    }
}
