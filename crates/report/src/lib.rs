//! Run document to text, JSON and one self-contained HTML page; comparisons and sites of runs; pure.
mod chart;
mod comparison;
mod events;
mod flame;
mod html;
mod recovery;
mod site;
mod text;

pub use comparison::{html as comparison_html, text as comparison_text};
pub use html::{headline, html};
pub use site::site;
pub use text::text;

/// Errors of rendering.
pub use askama::Error;

/// The style of all pages.
pub const STYLE: &str = include_str!("../templates/style.css");

/// What a run cost, in words.
pub fn cost_text(cost: &results::Cost) -> String {
    text::cost(cost)
}
