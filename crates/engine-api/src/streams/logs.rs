//! `pods/log`.
use std::num::IntErrorKind;

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
            // Nothing has run yet, and nothing is said (apiserver `endpoints/handlers/responsewriters/writers.go` StreamObject).
            return Ok(answer::empty(204));
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

/// As `ValidatePodLogOptions` in pkg/apis/core/validation; what is no number cannot even be read.
fn options(call: &Call) -> Result<LogOptions> {
    let query = &call.query;
    let number = |name: &'static str| -> Result<Option<i64>> {
        let parse = |raw: &str| {
            raw.parse::<i64>()
                .map_err(|error| not_a_number(raw, *error.kind()))
        };
        query.get(name).map(parse).transpose()
    };
    let options = LogOptions {
        follow: query.truth("follow"),
        previous: query.truth("previous"),
        timestamps: query.truth("timestamps"),
        since_seconds: number("sinceSeconds")?,
        since_time: query.get("sinceTime").map(str::to_owned),
        tail_lines: number("tailLines")?,
        limit_bytes: number("limitBytes")?,
    };
    let mut causes = Vec::new();
    let mut least = |name: &str, value: Option<i64>, least: i64, bound: &str| {
        if let Some(value) = value.filter(|value| *value < least) {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: name.to_owned(),
                message: format!("Invalid value: {value}: must be {bound}"),
            });
        }
    };
    least("tailLines", options.tail_lines, 0, "greater than or equal to 0");
    least("limitBytes", options.limit_bytes, 1, "greater than 0");
    let twice = options.since_seconds.is_some() && options.since_time.is_some();
    if !twice {
        least("sinceSeconds", options.since_seconds, 1, "greater than 0");
    }
    let mut forbidden = |field: &str, why: &str| {
        causes.push(Cause {
            reason: "FieldValueForbidden",
            field: field.to_owned(),
            message: format!("Forbidden: {why}"),
        });
    };
    if twice {
        forbidden(
            "[]",
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        );
    }
    if query.get("stream").is_some() {
        // PodLogsQuerySplitStreams is off by default in 1.36.
        forbidden("stream", "may not be specified");
    }
    if causes.is_empty() {
        return Ok(options);
    }
    let mut error = ApiError::invalid("", "PodLogOptions", &call.route.name, &causes);
    if let Some(details) = &mut error.details {
        details["name"] = json!(call.route.name);
    }
    Err(error)
}

fn not_a_number(raw: &str, kind: IntErrorKind) -> ApiError {
    let why = match kind {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    ApiError::bad_request(format!("strconv.ParseInt: parsing {raw:?}: {why}"))
}
