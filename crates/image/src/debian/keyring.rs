//! The keys that are trusted, and the verification of `InRelease`.

use std::io::Cursor;

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag};

use crate::{Error, Result};

/// Debian's archive keys (see `keys/README`).
const DEBIAN: [(&str, &str); 6] = [
    (
        "bookworm-automatic",
        include_str!("../../keys/bookworm-automatic.asc"),
    ),
    (
        "bookworm-security-automatic",
        include_str!("../../keys/bookworm-security-automatic.asc"),
    ),
    ("bookworm-stable", include_str!("../../keys/bookworm-stable.asc")),
    (
        "trixie-automatic",
        include_str!("../../keys/trixie-automatic.asc"),
    ),
    (
        "trixie-security-automatic",
        include_str!("../../keys/trixie-security-automatic.asc"),
    ),
    ("trixie-stable", include_str!("../../keys/trixie-stable.asc")),
];

/// A set of trusted OpenPGP certificates.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    certificates: Vec<SignedPublicKey>,
}

impl Keyring {
    /// The keys that sign Debian's archive.
    pub fn debian() -> Result<Self> {
        let mut keyring = Self::default();
        for (name, text) in DEBIAN {
            keyring.add(name, text.as_bytes())?;
        }
        Ok(keyring)
    }

    /// Adds the certificates of a key file, armoured or binary. `what` names it in errors.
    pub fn add(&mut self, what: &str, bytes: &[u8]) -> Result<()> {
        let failed = |reason: String| Error::Keyring {
            what: what.to_owned(),
            reason,
        };
        let armoured = bytes.trim_ascii_start().starts_with(b"-----BEGIN");
        let before = self.certificates.len();
        let parsed: Vec<_> = if armoured {
            let (keys, _) =
                SignedPublicKey::from_armor_many(Cursor::new(bytes)).map_err(|e| failed(e.to_string()))?;
            keys.collect()
        } else {
            SignedPublicKey::from_bytes_many(Cursor::new(bytes))
                .map_err(|e| failed(e.to_string()))?
                .collect()
        };
        for key in parsed {
            self.certificates.push(key.map_err(|e| failed(e.to_string()))?);
        }
        if self.certificates.len() == before {
            return Err(failed("there is no key in it".to_owned()));
        }
        Ok(())
    }

    /// Verifies a clear-signed document and returns the text that was signed. One good signature of a trusted key is enough, as for apt:
    /// Debian signs with the keys of two releases, and not every machine knows both. `now` is in seconds since 1970.
    pub(crate) fn verify(&self, url: &str, document: &str, now: u64) -> Result<String> {
        let failed = |reason: String| Error::Signature {
            url: url.to_owned(),
            reason,
        };
        let (message, _) = CleartextSignedMessage::from_string(document)
            .map_err(|e| failed(format!("it is not a clear-signed document ({e})")))?;
        let text = message.signed_text();
        let mut reasons = Vec::new();
        for signature in message.signatures() {
            match self.check(signature, text.as_bytes(), now) {
                Ok(()) => return Ok(text.replace("\r\n", "\n")),
                Err(reason) => reasons.push(reason),
            }
        }
        if reasons.is_empty() {
            reasons.push("it has no signature".to_owned());
        }
        Err(failed(reasons.join("; ")))
    }

    fn check(&self, signature: &Signature, text: &[u8], now: u64) -> Result<(), String> {
        let issuers: Vec<String> = (signature.issuer_fingerprint().iter().map(ToString::to_string))
            .chain(signature.issuer_key_id().iter().map(ToString::to_string))
            .collect();
        let named = issuers
            .first()
            .cloned()
            .unwrap_or_else(|| "an unnamed key".to_owned());
        let strong = [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha384,
            HashAlgorithm::Sha512,
        ];
        if !signature.hash_alg().is_some_and(|hash| strong.contains(&hash)) {
            return Err(format!("the signature by {named} uses a weak hash"));
        }
        if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
            return Err(format!("the signature by {named} is not one over a document"));
        }
        let created = signature
            .created()
            .map(|t| u64::from(t.as_secs()))
            .ok_or("a signature without a date")?;
        // An hour of grace for clocks that differ.
        if created > now + 3600 {
            return Err(format!("the signature by {named} is from the future"));
        }
        let expiry = signature
            .signature_expiration_time()
            .map_or(0, |d| u64::from(d.as_secs()));
        if expiry != 0 && created + expiry < now {
            return Err(format!("the signature by {named} has expired"));
        }
        let is_issuer = |fingerprint: String, id: String| {
            issuers
                .iter()
                .any(|issuer| issuer.eq_ignore_ascii_case(&fingerprint) || issuer.eq_ignore_ascii_case(&id))
        };
        for certificate in &self.certificates {
            let primary = &certificate.primary_key;
            if is_issuer(
                primary.fingerprint().to_string(),
                primary.legacy_key_id().to_string(),
            ) {
                usable_primary(certificate, created).map_err(|reason| format!("key {named} {reason}"))?;
                return signature
                    .verify(primary, text)
                    .map_err(|_| format!("bad signature by {named}"));
            }
            for subkey in &certificate.public_subkeys {
                if is_issuer(
                    subkey.key.fingerprint().to_string(),
                    subkey.key.legacy_key_id().to_string(),
                ) {
                    usable_primary(certificate, created)
                        .and_then(|()| usable_subkey(certificate, subkey, created))
                        .map_err(|reason| format!("key {named} {reason}"))?;
                    return signature
                        .verify(&subkey.key, text)
                        .map_err(|_| format!("bad signature by {named}"));
                }
            }
        }
        Err(format!("key {named} is not among the trusted ones"))
    }
}

/// A certificate is usable if its owner's newest self-signature holds, it is not revoked and had not expired when it signed.
fn usable_primary(certificate: &SignedPublicKey, at: u64) -> Result<(), &'static str> {
    let primary = &certificate.primary_key;
    if certificate
        .details
        .revocation_signatures
        .iter()
        .any(|revocation| revocation.verify_key(primary).is_ok())
    {
        return Err("is revoked");
    }
    let own = |signature: &&Signature| {
        let (fingerprint, id) = (primary.fingerprint(), primary.legacy_key_id());
        signature.issuer_fingerprint().contains(&&fingerprint) || signature.issuer_key_id().contains(&&id)
    };
    let mut newest: Option<&Signature> = None;
    for user in &certificate.details.users {
        for signature in user.signatures.iter().filter(own) {
            let valid = signature
                .verify_certification(primary, Tag::UserId, &user.id)
                .is_ok();
            if valid && newest.is_none_or(|newest| newest.created() < signature.created()) {
                newest = Some(signature);
            }
        }
    }
    let newest = newest.ok_or("has no valid self-signature")?;
    in_time(u64::from(primary.created_at().as_secs()), newest, at)
}

fn usable_subkey(
    certificate: &SignedPublicKey,
    subkey: &pgp::composed::SignedPublicSubKey,
    at: u64,
) -> Result<(), &'static str> {
    let primary = &certificate.primary_key;
    if subkey
        .signatures
        .iter()
        .any(|s| s.typ() == Some(SignatureType::SubkeyRevocation))
    {
        return Err("is revoked");
    }
    subkey
        .verify_bindings(primary)
        .map_err(|_| "is not bound to its primary key")?;
    let newest = subkey
        .signatures
        .iter()
        .max_by_key(|s| s.created())
        .ok_or("is not bound to its primary key")?;
    if !newest.key_flags().sign() {
        return Err("is not for signing");
    }
    in_time(u64::from(subkey.key.created_at().as_secs()), newest, at)
}

fn in_time(created: u64, signature: &Signature, at: u64) -> Result<(), &'static str> {
    let expiry = signature
        .key_expiration_time()
        .map_or(0, |d| u64::from(d.as_secs()));
    if expiry != 0 && created + expiry < at {
        return Err("had expired when it signed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian published it on 2026-11-21, signed by subkeys of bullseye's and bookworm's security keys.
    const REAL: &str = include_str!("../../tests/data/bookworm-security-InRelease");
    const THAT_DAY: u64 = 1_795_300_000;

    fn only(name: &str) -> Keyring {
        let mut keyring = Keyring::default();
        let (name, text) = DEBIAN.iter().find(|(n, _)| *n == name).unwrap();
        keyring.add(name, text.as_bytes()).unwrap();
        keyring
    }

    #[test]
    fn what_debian_has_signed() {
        let text = Keyring::debian().unwrap().verify("url", REAL, THAT_DAY).unwrap();
        assert!(text.starts_with("Origin: Debian\nLabel: Debian-Security\n"));
        assert!(!text.contains("PGP") && !text.contains('\r'));
        only("bookworm-security-automatic")
            .verify("url", REAL, THAT_DAY)
            .unwrap();
    }

    #[test]
    fn what_debian_has_not_signed() {
        let refused = |keyring: Keyring, text: &str, now| match keyring.verify("url", text, now) {
            Err(Error::Signature { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        let all = || Keyring::debian().unwrap();
        for (from, to) in [
            ("Label: Debian-Security", "Label: Debian-security"),
            ("\nAcquire-By-Hash: yes\n", "\n"),
            ("00:53:02", "00:53:03"),
        ] {
            assert!(REAL.contains(from));
            assert!(refused(all(), &REAL.replacen(from, to, 1), THAT_DAY).contains("bad signature"));
        }
        assert!(refused(only("bookworm-stable"), REAL, THAT_DAY).contains("not among the trusted"));
        assert!(refused(Keyring::default(), REAL, THAT_DAY).contains("not among the trusted"));
        assert!(refused(all(), REAL, 1_700_000_000).contains("from the future"));
        refused(all(), "", THAT_DAY);
        refused(all(), &REAL[..REAL.len() / 2], THAT_DAY);
        refused(
            all(),
            &REAL.replace("-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP MESSAGE-----"),
            THAT_DAY,
        );
        // Further text after the signature is not part of it.
        refused(all(), &format!("{REAL}\nSHA256:\n"), THAT_DAY);
        assert!(Keyring::default().add("x", b"no key").is_err());
    }
}
