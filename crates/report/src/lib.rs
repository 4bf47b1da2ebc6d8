//! Run document to text, JSON and HTML; pure.
