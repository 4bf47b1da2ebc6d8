//! OCI images: a store, archives, registries, and images built from signed Debian packages.
