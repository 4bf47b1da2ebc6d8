//! The API server of the embedded engine: store, watch, admission, patches, discovery, tables and the HTTP front.
