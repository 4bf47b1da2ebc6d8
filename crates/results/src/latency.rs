use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// Latencies of a run in milliseconds, and the histogram they were computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Latency {
    /// Smallest.
    pub min_ms: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// Largest.
    pub max_ms: f64,
    /// HdrHistogram V2, compressed, base64; values are nanoseconds.
    pub histogram: String,
}

/// A histogram that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the latency histogram is damaged: {0}")]
pub struct HistogramError(String);

impl Latency {
    /// Computes all figures from a histogram of nanoseconds.
    pub fn from_histogram(histogram: &Histogram<u64>) -> Result<Latency, HistogramError> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .map_err(|e| HistogramError(e.to_string()))?;
        let at = |quantile: f64| milliseconds(histogram.value_at_quantile(quantile) as f64);
        let min = if histogram.is_empty() { 0 } else { histogram.min() };
        Ok(Latency {
            min_ms: milliseconds(min as f64),
            mean_ms: milliseconds(histogram.mean()),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(histogram.max() as f64),
            histogram: STANDARD.encode(bytes),
        })
    }

    /// The course of the percentiles, for a chart: quantile and milliseconds, up to the last that the number of requests
    /// bears out (one request in a million says nothing of p99.9999).
    pub fn curve(&self) -> Result<Vec<(f64, f64)>, HistogramError> {
        let histogram = self.histogram()?;
        let count = histogram.len() as f64;
        let mut points = Vec::new();
        let mut rest = 1.0f64;
        // Eight steps for each nine.
        while rest * count >= 1.0 && points.len() < 64 {
            let quantile = 1.0 - rest;
            points.push((
                quantile,
                milliseconds(histogram.value_at_quantile(quantile) as f64),
            ));
            rest /= 10f64.powf(0.125);
        }
        Ok(points)
    }

    /// The histogram that the figures were computed from.
    pub fn histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        let bytes = STANDARD
            .decode(&self.histogram)
            .map_err(|e| HistogramError(e.to_string()))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|e| HistogramError(e.to_string()))
    }
}

/// Nanoseconds to milliseconds, rounded to a tenth of a microsecond: histograms are no more exact than that.
fn milliseconds(nanoseconds: f64) -> f64 {
    (nanoseconds / 100.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_can_be_computed_again_from_the_document() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1_000, 120_000_000_000, 3).unwrap();
        for i in 1..=1000u64 {
            histogram.record(i * 1_000_000).unwrap();
        }
        let latency = Latency::from_histogram(&histogram).unwrap();
        assert!((latency.p99_ms - 990.0).abs() < 1.0, "{}", latency.p99_ms);
        let text = serde_json::to_string(&latency).unwrap();
        let read: Latency = serde_json::from_str(&text).unwrap();
        assert_eq!(
            Latency::from_histogram(&read.histogram().unwrap()).unwrap(),
            latency
        );
    }

    #[test]
    fn an_empty_run_and_a_damaged_histogram_do_no_harm() {
        let empty = Histogram::<u64>::new_with_bounds(1_000, 120_000_000_000, 3).unwrap();
        let mut latency = Latency::from_histogram(&empty).unwrap();
        assert!(latency.max_ms.abs() < f64::EPSILON);
        latency.histogram = "AAAA".into();
        assert!(latency.histogram().is_err());
    }
}
