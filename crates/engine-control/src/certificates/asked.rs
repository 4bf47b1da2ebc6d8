//! What a signing request asks for, and what of it kubelets may (pkg/apis/certificates/helpers.go).

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

use super::der;
use crate::Error;

/// A request, as far as a certificate shows it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub common_name: String,
    pub organisations: Vec<String>,
    /// The subject and the public key as they came.
    pub subject: Vec<u8>,
    pub key: Vec<u8>,
    /// Further names, by their tags in a certificate: mail 1, DNS 2, URI 6, IP address 7.
    pub names: Vec<(u8, Vec<u8>)>,
}

const MAIL: u8 = 1;
const DNS: u8 = 2;
const URI: u8 = 6;
const ADDRESS: u8 = 7;

/// The order in which Go writes them.
const ORDER: [u8; 4] = [DNS, MAIL, ADDRESS, URI];

impl Asked {
    /// From PEM. Only the first block counts.
    pub fn parse(pem: &[u8]) -> Result<Self, Error> {
        let invalid = |why: String| Error::Invalid(format!("unable to parse csr: {why}"));
        let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok);
        let Some(block) = block.filter(|block| block.label == "CERTIFICATE REQUEST") else {
            return Err(invalid("PEM block type must be CERTIFICATE REQUEST".to_owned()));
        };
        let (_, request) =
            X509CertificationRequest::from_der(&block.contents).map_err(|e| invalid(e.to_string()))?;
        let info = &request.certification_request_info;
        let mut asked = Self {
            common_name: info
                .subject
                .iter_common_name()
                .last()
                .and_then(|name| name.as_str().ok())
                .unwrap_or_default()
                .to_owned(),
            organisations: info
                .subject
                .iter_organization()
                .filter_map(|name| name.as_str().ok())
                .map(str::to_owned)
                .collect(),
            subject: info.subject.as_raw().to_vec(),
            key: info.subject_pki.raw.to_vec(),
            names: Vec::new(),
        };
        for extension in request.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(found) = extension {
                asked
                    .names
                    .extend(found.general_names.iter().filter_map(|name| match name {
                        GeneralName::RFC822Name(text) => Some((MAIL, text.as_bytes().to_vec())),
                        GeneralName::DNSName(text) => Some((DNS, text.as_bytes().to_vec())),
                        GeneralName::URI(text) => Some((URI, text.as_bytes().to_vec())),
                        GeneralName::IPAddress(bytes) => Some((ADDRESS, bytes.to_vec())),
                        _ => None,
                    }));
            }
        }
        asked
            .names
            .sort_by_key(|(tag, _)| ORDER.iter().position(|t| t == tag));
        request
            .verify_signature()
            .map_err(|e| Error::Invalid(format!("unable to verify certificate request signature: {e}")))?;
        Ok(asked)
    }

    /// The further names as an extension holds them.
    pub fn encoded_names(&self) -> Vec<u8> {
        let names = self.names.iter();
        der::sequence(
            &names
                .map(|(tag, bytes)| der::tagged(0x80 | tag, bytes))
                .collect::<Vec<_>>(),
        )
    }

    fn has(&self, tag: u8) -> bool {
        self.names.iter().any(|(own, _)| *own == tag)
    }

    /// Whether a kubelet may be a client by this (`ValidateKubeletClientCSR`).
    pub fn check_kubelet_client(&self, usages: &[String]) -> Result<(), String> {
        self.check_group()?;
        for (tag, what) in [(DNS, "DNS"), (MAIL, "Email"), (ADDRESS, "IP"), (URI, "URI")] {
            if self.has(tag) {
                return Err(format!("{what} subjectAltNames are not allowed"));
            }
        }
        self.check_name()?;
        check_usages(usages, "client auth")
    }

    /// Whether a kubelet may serve by this (`ValidateKubeletServingCSR`).
    pub fn check_kubelet_serving(&self, usages: &[String]) -> Result<(), String> {
        self.check_group()?;
        if !self.has(DNS) && !self.has(ADDRESS) {
            return Err("DNS or IP subjectAltName is required".to_owned());
        }
        for (tag, what) in [(MAIL, "Email"), (URI, "URI")] {
            if self.has(tag) {
                return Err(format!("{what} subjectAltNames are not allowed"));
            }
        }
        check_usages(usages, "server auth")?;
        self.check_name()
    }

    fn check_group(&self) -> Result<(), String> {
        if self.organisations == ["system:nodes"] {
            return Ok(());
        }
        Err("subject organization is not system:nodes".to_owned())
    }

    fn check_name(&self) -> Result<(), String> {
        if self.common_name.starts_with("system:node:") {
            return Ok(());
        }
        Err("subject common name does not begin with system:node:".to_owned())
    }
}

/// A signature, one more usage, and perhaps that of RSA keys.
fn check_usages(usages: &[String], wanted: &str) -> Result<(), String> {
    let mut said: Vec<&str> = usages.iter().map(String::as_str).collect();
    said.sort_unstable();
    said.dedup();
    let mut all = ["digital signature", "key encipherment", wanted];
    all.sort_unstable();
    let without: Vec<&str> = all.into_iter().filter(|u| *u != "key encipherment").collect();
    if said == all || said == without {
        return Ok(());
    }
    Err(format!("usages did not match [{}]", all.join(" ")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, SanType};

    /// A request in PEM. rcgen knows one organisation; more are for [`super::super::issue`]'s test.
    pub fn request(name: &str, groups: &[&str], names: &[SanType]) -> String {
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new(Vec::new()).unwrap();
        asked.distinguished_name.push(DnType::CommonName, name);
        for (at, group) in groups.iter().enumerate() {
            // Each as a type of its own to rcgen, and the same in the request.
            let kind = if at == 0 {
                DnType::OrganizationName
            } else {
                DnType::CustomDnType(vec![2, 5, 4, 10])
            };
            asked.distinguished_name.push(kind, *group);
        }
        asked.subject_alt_names = names.to_vec();
        asked.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0])];
        asked.serialize_request(&key).unwrap().pem().unwrap()
    }

    fn owned(usages: &[&str]) -> Vec<String> {
        usages.iter().map(|u| (*u).to_owned()).collect()
    }

    fn of(name: &str, groups: &[&str], names: &[SanType]) -> Asked {
        Asked::parse(request(name, groups, names).as_bytes()).unwrap()
    }

    #[test]
    fn what_kubelets_may_ask_for() {
        let dns = || SanType::DnsName("n".try_into().unwrap());
        let mail = || SanType::Rfc822Name("a@b".try_into().unwrap());
        let client = owned(&["client auth", "digital signature"]);
        let serving = owned(&["server auth", "digital signature", "key encipherment"]);
        let node = of("system:node:n", &["system:nodes"], &[]);
        assert_eq!(node.check_kubelet_client(&client), Ok(()));
        assert_eq!(
            node.check_kubelet_client(&serving).unwrap_err(),
            "usages did not match [client auth digital signature key encipherment]"
        );
        assert_eq!(
            node.check_kubelet_serving(&serving).unwrap_err(),
            "DNS or IP subjectAltName is required"
        );
        let named = of("system:node:n", &["system:nodes"], &[dns()]);
        assert_eq!(named.check_kubelet_serving(&serving), Ok(()));
        assert_eq!(
            named.check_kubelet_client(&client).unwrap_err(),
            "DNS subjectAltNames are not allowed"
        );
        let mailed = of("system:node:n", &["system:nodes"], &[mail(), dns()]);
        assert_eq!(
            mailed.check_kubelet_serving(&serving).unwrap_err(),
            "Email subjectAltNames are not allowed"
        );
        assert_eq!(
            of("n", &["system:nodes"], &[])
                .check_kubelet_client(&client)
                .unwrap_err(),
            "subject common name does not begin with system:node:"
        );
        assert_eq!(
            of("system:node:n", &["system:nodes", "b"], &[])
                .check_kubelet_client(&client)
                .unwrap_err(),
            "subject organization is not system:nodes"
        );
        assert!(Asked::parse(b"x").is_err());
    }
}
