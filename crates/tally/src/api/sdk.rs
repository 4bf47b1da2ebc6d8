use hyper::StatusCode;
use serde_json::json;

use super::{Api, Response, body, message};
use crate::Params;

impl Api {
    /// `/o/sdk`: what SDKs ask before and beside writing. There is no remote configuration, no A/B test and no survey here, which is
    /// what the empty answers say; SDKs then go by their own defaults.
    pub(super) fn sdk(&self, params: &Params) -> Response {
        let app = match params.get("app_key").map(|key| self.app_for(key)) {
            None => {
                return message(
                    StatusCode::BAD_REQUEST,
                    "Missing parameter \"app_key\" or \"device_id\"",
                );
            }
            Some(Err(rejection)) => {
                let code = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
                return message(code, &rejection.to_string());
            }
            Some(Ok(app)) => app,
        };
        if let Some(salt) = &app.salt
            && params.checksum_matches(salt) != Some(true)
        {
            return message(StatusCode::OK, "Request does not match checksum");
        }
        match params.get("method").unwrap_or_default() {
            // Server configuration: version, type, and no setting that differs from the SDK's own.
            "sc" => body(&json!({"v": 1, "t": 1, "c": {}})),
            "rc" | "fetch_remote_config" | "ab_fetch_variants" | "ab_fetch_experiments" => body(&json!({})),
            "ab" | "ab_enroll" | "ab_unenroll" => message(StatusCode::OK, "Success"),
            "feedback" | "queue" | "content" => body(&json!({"result": []})),
            _ => message(StatusCode::BAD_REQUEST, "Invalid method"),
        }
    }
}
