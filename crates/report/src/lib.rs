//! Run document to text, JSON and one self-contained HTML page; comparisons and sites of runs; pure.
mod chart;
mod comparison;
mod events;
mod html;
mod site;
mod text;

pub use comparison::{html as comparison_html, text as comparison_text};
pub use html::html;
pub use site::site;
pub use text::text;

/// Errors of rendering.
pub use askama::Error;

/// What a run cost, in words.
pub fn cost_text(cost: &results::Cost) -> String {
    text::cost(cost)
}
