//! Requests to the analytics server, one by one and in bulk.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tally::{Params, Request};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (query, body) = text.split_once('\n').unwrap_or((&text, ""));
    let mut params = Params::from_query(query);
    params.add_form(body.as_bytes());
    params.add_json(body.as_bytes());
    let _ = (params.fingerprint(), params.checksum_matches("salt"));
    let _ = Request::parse(&params);
    // Bulk: the items of `requests`.
    for list in [params.get("requests").map(str::to_owned), Some(body.to_owned())].into_iter().flatten() {
        let Ok(serde_json::Value::Array(items)) = serde_json::from_str(&list) else { continue };
        for item in items {
            if let Some(params) = Params::from_item(item) {
                let _ = Request::parse(&params);
            }
        }
    }
});
