//! Controllers and the scheduler of the embedded engine; speak only through a kube client.
