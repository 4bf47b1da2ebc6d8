//! Pod network, services, DNS and host ports of the embedded engine.
