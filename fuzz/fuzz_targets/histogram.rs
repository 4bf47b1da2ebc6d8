//! HdrHistograms out of result documents: damaged ones are refused.
#![no_main]
use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use results::Latency;

fuzz_target!(|bytes: &[u8]| {
    let latency = |histogram| Latency {
        min_ms: 0.0, mean_ms: 0.0, p50_ms: 0.0, p90_ms: 0.0, p99_ms: 0.0, p999_ms: 0.0, max_ms: 0.0, histogram,
    };
    let damaged = latency(STANDARD.encode(bytes));
    if let Ok(histogram) = damaged.histogram() {
        let _ = damaged.curve();
        let _ = Latency::from_histogram(&histogram).map(|again| again.curve());
    }
    let _ = latency(String::from_utf8_lossy(bytes).into_owned()).curve();
});
