//! The admin's kubeconfig.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::Pki;
use crate::{Error, Paths, Plan};

/// Name of the cluster, user and context entries: `cncfdemo-NAME`, or plain `cncfdemo` for the default cluster.
pub fn context_name(name: &str) -> String {
    if name == "cncfdemo" {
        name.to_owned()
    } else {
        format!("cncfdemo-{name}")
    }
}

/// Renders the kubeconfig of a cluster.
pub fn render(plan: &Plan, pki: &Pki) -> String {
    let (entry, port) = (context_name(&plan.name), plan.api_port);
    let [ca, cert, key] = [&pki.ca.cert, &pki.admin.cert, &pki.admin.key].map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {entry}\n  \
           cluster:\n    \
             server: https://127.0.0.1:{port}\n    \
             certificate-authority-data: {ca}\n\
         contexts:\n\
         - name: {entry}\n  \
           context:\n    \
             cluster: {entry}\n    \
             user: {entry}\n\
         current-context: {entry}\n\
         users:\n\
         - name: {entry}\n  \
           user:\n    \
             client-certificate-data: {cert}\n    \
             client-key-data: {key}\n"
    )
}

/// Writes the cluster's own kubeconfig (0600).
pub(crate) fn write(paths: &Paths, plan: &Plan, pki: &Pki) -> Result<(), Error> {
    crate::pki::write_private(&paths.kubeconfig(), &render(plan, pki))
}
