//! Templates, ordered steps, apply and wait; works on any cluster through a kube client.
