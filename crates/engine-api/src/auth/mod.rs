//! Who is asking (certificates and service-account tokens) and what they may do (RBAC).
pub mod authenticate;
pub mod impersonate;
pub mod rbac;
pub mod tokens;
