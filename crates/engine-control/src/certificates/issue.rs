//! Certificates as upstream's signers write them (pkg/controller/certificates/authority): the subject, the key and the further names of the
//! request, and of its extensions nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{KeyPair, SigningKey as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AlgorithmIdentifier;

use super::asked::Asked;
use super::der;
use crate::Error;

/// A certificate is valid from a little before now, for clocks that are behind.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);
/// What lasts less than this does not end earlier for that.
const SHORT: SignedDuration = SignedDuration::from_hours(8);

/// What a key may be used for, as bits of the extension from the left (policies.go).
const KEY_USAGES: [(&str, u16); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// What a certificate may be used for, in the order in which it is written.
const EXTENDED_USAGES: [(&str, &[u8]); 13] = [
    ("any", &[0x55, 0x1d, 0x25, 0]),
    ("server auth", &[0x2b, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[0x2b, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[0x2b, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[0x2b, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[0x2b, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[0x2b, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[0x2b, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[0x2b, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3]),
    ("netscape sgc", &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1]),
];

const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 35];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];

/// The certificate for a request, PEM.
pub(super) fn issue(
    ca: &str,
    ca_key: &str,
    asked: &Asked,
    usages: &[String],
    lasting: SignedDuration,
    now: Timestamp,
) -> Result<String, Error> {
    let failed = |why: String| Error::Invalid(format!("failed to sign certificate: {why}"));
    let (_, pem) = parse_x509_pem(ca.as_bytes()).map_err(|e| failed(e.to_string()))?;
    let authority = pem.parse_x509().map_err(|e| failed(e.to_string()))?;
    let key = KeyPair::from_pem(ca_key).map_err(|e| failed(e.to_string()))?;
    // It is signed by its own key.
    let algorithm = algorithm(&authority.signature_algorithm);
    let (from, until) = validity(&authority, lasting, now)?;
    let body = der::sequence(&[
        der::tagged(0xa0, &der::number(&[2])),
        der::number(&serial()),
        algorithm.clone(),
        authority.subject().as_raw().to_vec(),
        der::sequence(&[time(from), time(until)]),
        asked.subject.clone(),
        asked.key.clone(),
        der::tagged(0xa3, &der::sequence(&extensions(asked, usages, &authority)?)),
    ]);
    let signature = key.sign(&body).map_err(|e| failed(e.to_string()))?;
    let whole = der::sequence(&[body, algorithm, der::bits(&signature, 0)]);
    Ok(to_pem(&whole))
}

/// When a certificate is no longer valid; nothing if it is none.
pub(super) fn end_of(pem: &[u8]) -> Option<Timestamp> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// From when until when (PermissiveSigningPolicy).
fn validity(
    authority: &X509Certificate<'_>,
    lasting: SignedDuration,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), Error> {
    let invalid = |e: jiff::Error| Error::Invalid(e.to_string());
    let end = Timestamp::from_second(authority.validity().not_after.timestamp()).map_err(invalid)?;
    let from = now - BACKDATED;
    let lasting = if lasting < SHORT {
        lasting
    } else {
        lasting - BACKDATED
    };
    if now >= end {
        let why = format!("refusing to sign a certificate that expired in the past: NotAfter={end}");
        return Err(Error::Invalid(why));
    }
    Ok((from, (now + lasting).min(end)))
}

fn serial() -> [u8; 16] {
    let mut serial: [u8; 16] = rand::random();
    serial[0] &= 0x7f;
    serial
}

fn algorithm(of: &AlgorithmIdentifier<'_>) -> Vec<u8> {
    let mut parts = vec![der::oid(of.algorithm.as_bytes())];
    // RSA has a parameter that says nothing; the others have none.
    if of.parameters.is_some() {
        parts.push(der::tagged(5, &[]));
    }
    der::sequence(&parts)
}

/// Years before 2050 are written in two digits (RFC 5280, 4.1.2.5).
fn time(at: Timestamp) -> Vec<u8> {
    let at = at.to_zoned(TimeZone::UTC);
    if at.year() < 2050 {
        der::tagged(23, at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        der::tagged(24, at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

fn extensions(
    asked: &Asked,
    usages: &[String],
    authority: &X509Certificate<'_>,
) -> Result<Vec<Vec<u8>>, Error> {
    let has = |name: &str| usages.iter().any(|usage| usage == name);
    let known = |usage: &String| {
        KEY_USAGES.iter().any(|(name, _)| name == usage)
            || EXTENDED_USAGES.iter().any(|(name, _)| name == usage)
    };
    let unknown: Vec<&String> = usages.iter().filter(|usage| !known(usage)).collect();
    if !unknown.is_empty() {
        return Err(Error::Invalid(format!("unrecognized usage values: {unknown:?}")));
    }
    let mut found = Vec::new();
    let wanted = KEY_USAGES.iter().filter(|(name, _)| has(name));
    let flags = wanted.fold(0_u16, |flags, (_, bit)| flags | 0x8000 >> bit);
    if flags != 0 {
        let bytes = flags.to_be_bytes();
        let bytes = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
        let unused = u8::try_from(flags.trailing_zeros() % 8).unwrap_or_default();
        found.push(der::extension(KEY_USAGE, true, &der::bits(bytes, unused)));
    }
    let mut wanted: Vec<&[u8]> = EXTENDED_USAGES
        .iter()
        .filter(|(name, _)| has(name))
        .map(|(_, id)| *id)
        .collect();
    wanted.dedup();
    if !wanted.is_empty() {
        let ids: Vec<Vec<u8>> = wanted.into_iter().map(der::oid).collect();
        found.push(der::extension(EXTENDED_KEY_USAGE, false, &der::sequence(&ids)));
    }
    found.push(der::extension(BASIC_CONSTRAINTS, true, &der::sequence(&[])));
    for extension in authority.extensions() {
        if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
            let id = der::tagged(0x80, id.0);
            found.push(der::extension(AUTHORITY_KEY, false, &der::sequence(&[id])));
        }
    }
    if !asked.names.is_empty() {
        // Without a subject they are all that says whose it is (an empty sequence is two bytes).
        let alone = asked.subject.len() <= 2;
        found.push(der::extension(ALTERNATIVE_NAMES, alone, &asked.encoded_names()));
    }
    Ok(found)
}

fn to_pem(whole: &[u8]) -> String {
    let text = STANDARD.encode(whole);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::super::asked::tests::request;
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, SanType};

    fn authority() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "kubernetes");
        (ca.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_request_becomes_a_certificate_of_this_authority() {
        let (ca, key) = authority();
        let names = [
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
            SanType::DnsName("n".try_into().unwrap()),
        ];
        let asked = Asked::parse(request("joe", &["a", "b"], &names).as_bytes()).unwrap();
        let usages = ["client auth", "digital signature", "key encipherment"].map(str::to_owned);
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let day = SignedDuration::from_hours(24);
        let pem = issue(&ca, &key, &asked, &usages, day, now).unwrap();
        assert_eq!(
            end_of(pem.as_bytes()).unwrap().to_string(),
            "2026-11-28T11:55:00Z"
        );
        let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
        let issued = block.parse_x509().unwrap();
        let (_, block) = parse_x509_pem(ca.as_bytes()).unwrap();
        let authority = block.parse_x509().unwrap();
        issued.verify_signature(Some(authority.public_key())).unwrap();
        assert_eq!(issued.issuer(), authority.subject());
        let groups = issued.subject().iter_organization();
        assert_eq!(
            groups.map(|g| g.as_str().unwrap()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(!issued.is_ca());
        let usage = issued.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_agreement());
        let extended = issued.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && !extended.server_auth);
        let names = issued.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(names.general_names.len(), 2);
        assert_eq!(
            issued.extensions().len(),
            5,
            "an extension that nobody knows is not taken over"
        );
        let short = issue(&ca, &key, &asked, &usages, SignedDuration::from_mins(10), now).unwrap();
        assert_eq!(
            end_of(short.as_bytes()).unwrap().to_string(),
            "2026-11-27T12:10:00Z"
        );
        assert!(issue(&ca, &key, &asked, &["other".to_owned()], day, now).is_err());
    }

    #[test]
    fn every_usage_is_written() {
        let (ca, key) = authority();
        let asked = Asked::parse(request("joe", &[], &[]).as_bytes()).unwrap();
        let all = KEY_USAGES.iter().map(|(name, _)| (*name).to_owned());
        let all: Vec<String> = all
            .chain(EXTENDED_USAGES.iter().map(|(name, _)| (*name).to_owned()))
            .collect();
        let pem = issue(&ca, &key, &asked, &all, SHORT, Timestamp::now()).unwrap();
        let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
        let issued = block.parse_x509().unwrap();
        assert_eq!(issued.key_usage().unwrap().unwrap().value.flags, 0x1ff);
        let extended = issued.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.any && extended.ocsp_signing && extended.time_stamping);
        assert_eq!(extended.other.len(), 5);
    }
}
