//! The cluster's own certificate authority, certificates and the key that signs service account tokens.
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::{Error, Paths, Plan};

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Certificate.
    pub cert: String,
    /// PKCS #8 private key.
    pub key: String,
}

/// Everything the cluster's identities rest on.
#[derive(Debug, Clone)]
pub struct Pki {
    /// Certificate authority.
    pub ca: Pair,
    /// Serving certificate of the API server and of the node agents.
    pub server: Pair,
    /// Client certificate of `kubernetes-admin` in `system:masters`.
    pub admin: Pair,
    /// Client certificate by which the API server shows itself to node agents.
    pub node_client: Pair,
    /// The authority of the front proxy, and the one certificate that it has signed: by it extension API servers recognise
    /// requests that the API server passes on.
    pub front_proxy: (Pair, Pair),
    /// ES256 key of service account tokens, PKCS #8 PEM.
    pub service_accounts: String,
}

impl Pki {
    /// Reads the cluster's certificates, making those that are not there yet.
    pub fn ensure(paths: &Paths, plan: &Plan) -> Result<Pki, Error> {
        let dir = paths.pki();
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
        let ca = ensure_pair(&dir, "ca", || authority(&format!("cncfdemo-{}", plan.name)))?;
        let front_ca = ensure_pair(&dir, "front-proxy-ca", || authority("front-proxy-ca"))?;
        let front_key = KeyPair::from_pem(&front_ca.key).map_err(pki)?;
        let front_issuer = Issuer::from_ca_cert_pem(&front_ca.cert, front_key).map_err(pki)?;
        let front_client = ensure_pair(&dir, "front-proxy-client", || {
            client("front-proxy-client", None, &front_issuer)
        })?;
        let issuer_key = KeyPair::from_pem(&ca.key).map_err(pki)?;
        let issuer = Issuer::from_ca_cert_pem(&ca.cert, issuer_key).map_err(pki)?;
        Ok(Pki {
            server: ensure_pair(&dir, "server", || server(plan, &issuer))?,
            admin: ensure_pair(&dir, "admin", || {
                client("kubernetes-admin", Some("system:masters"), &issuer)
            })?,
            node_client: ensure_pair(&dir, "apiserver-kubelet-client", || {
                client("kube-apiserver-kubelet-client", Some("system:masters"), &issuer)
            })?,
            front_proxy: (front_ca, front_client),
            service_accounts: ensure_file(&dir.join("sa.key"), || {
                Ok(KeyPair::generate().map_err(pki)?.serialize_pem())
            })?,
            ca,
        })
    }
}

fn pki(e: rcgen::Error) -> Error {
    Error::Pki(e.to_string())
}

/// Local clusters are short-lived, their keys never leave the machine: a certificate that outlives the machine saves the
/// surprise of an expired one.
fn lasting(mut params: CertificateParams) -> CertificateParams {
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    params
}

fn authority(name: &str) -> Result<Pair, Error> {
    let mut params = lasting(CertificateParams::new(Vec::new()).map_err(pki)?);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::CrlSign,
    ];
    let key = KeyPair::generate().map_err(pki)?;
    let cert = params.self_signed(&key).map_err(pki)?;
    Ok(Pair {
        cert: cert.pem(),
        key: key.serialize_pem(),
    })
}

fn server(plan: &Plan, issuer: &Issuer<'_, KeyPair>) -> Result<Pair, Error> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let names = names
        .iter()
        .map(ToString::to_string)
        .chain(plan.node_names())
        .collect::<Vec<_>>();
    let mut params = lasting(CertificateParams::new(names).map_err(pki)?);
    let known = plan.addresses()?;
    let nodes = (1..=plan.nodes).map(|n| known.node(n as u8));
    let addresses = [Ipv4Addr::LOCALHOST, known.backbone(), known.kubernetes_service()]
        .into_iter()
        .chain(nodes);
    params
        .subject_alt_names
        .extend(addresses.map(|ip| SanType::IpAddress(IpAddr::V4(ip))));
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(params, issuer)
}

fn client(user: &str, group: Option<&str>, issuer: &Issuer<'_, KeyPair>) -> Result<Pair, Error> {
    let mut params = lasting(CertificateParams::new(Vec::new()).map_err(pki)?);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.distinguished_name.push(DnType::CommonName, user);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(params, issuer)
}

fn sign(params: CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Result<Pair, Error> {
    let key = KeyPair::generate().map_err(pki)?;
    let cert = params.signed_by(&key, issuer).map_err(pki)?;
    Ok(Pair {
        cert: cert.pem(),
        key: key.serialize_pem(),
    })
}

/// The key is written first: a crash between the two leaves no certificate without a key.
fn ensure_pair(dir: &Path, name: &str, make: impl FnOnce() -> Result<Pair, Error>) -> Result<Pair, Error> {
    let (cert, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    if cert.exists() && key.exists() {
        return Ok(Pair {
            cert: fs::read_to_string(&cert).map_err(Error::file("read", &cert))?,
            key: fs::read_to_string(&key).map_err(Error::file("read", &key))?,
        });
    }
    let pair = make()?;
    write_private(&key, &pair.key)?;
    write_private(&cert, &pair.cert)?;
    Ok(pair)
}

fn ensure_file(path: &Path, make: impl FnOnce() -> Result<String, Error>) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let text = make()?;
            write_private(path, &text)?;
            Ok(text)
        }
        Err(e) => Err(Error::file("read", path)(e)),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&temporary, path)
    };
    write().map_err(Error::file("write", path))
}
