//! Who is asking (certificates and service-account tokens) and what they may do (masters anything, nodes what concerns them, others by RBAC).
pub mod authenticate;
mod decide;
pub mod impersonate;
pub mod node;
pub mod node_graph;
pub mod rbac;
pub mod tokens;
