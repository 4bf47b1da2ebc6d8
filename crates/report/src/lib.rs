//! Run document to text, JSON and one self-contained HTML page; pure.
mod chart;
mod html;
mod text;

pub use html::html;
pub use text::text;

/// Errors of rendering.
pub use askama::Error;
