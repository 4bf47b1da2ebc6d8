//! The only crate that looks at the machine for preflight, and changes it when asked. [`collect`] gathers facts and judges
//! nothing; [`mend`] does what a finding's changes say, keeps a journal of it, and takes it back.
mod collect;
mod local_engine;
pub mod mend;
mod network_probe;

pub use collect::{Collect, collect, sysctl_files};
pub use local_engine::local_engine_facts;

/// When a certificate ends, seconds since 1970: the first of a PEM text, or one in DER.
pub fn certificate_end(bytes: &[u8]) -> Option<i64> {
    if let Some(Ok(pem)) = x509_parser::pem::Pem::iter_from_buffer(bytes).next() {
        return pem.parse_x509().ok().map(|c| c.validity().not_after.timestamp());
    }
    let (_, certificate) = x509_parser::parse_x509_certificate(bytes).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
