//! Certificates for servers, and the authorities that sign them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// Signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    home: TempDir,
}

/// A server's certificate and its key.
pub struct Certificate {
    home: TempDir,
}

impl Authority {
    /// An authority of its own.
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    pub fn new() -> Authority {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::new(vec![]).expect("no name is wrong");
        // Authorities of one name are taken for the same one.
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("keys can sign");
        let home = TempDir::new().expect("temporary directories can be made");
        write(&home.path().join("authority.pem"), &issuer.pem());
        Authority { issuer, home }
    }

    /// The file with its own certificate.
    pub fn file(&self) -> PathBuf {
        self.home.path().join("authority.pem")
    }

    /// A certificate for this machine.
    pub fn certificate(&self) -> Certificate {
        self.sign(&["localhost", "127.0.0.1"], 2999)
    }

    /// One for this machine that was good until years ago.
    pub fn expired_certificate(&self) -> Certificate {
        self.sign(&["localhost", "127.0.0.1"], 2021)
    }

    /// One for another machine.
    pub fn certificate_of_another(&self) -> Certificate {
        self.sign(&["other.example"], 2999)
    }

    fn sign(&self, names: &[&str], until: i32) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names are ASCII");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = key();
        let signed = params.signed_by(&key, &self.issuer).expect("keys can sign");
        let home = TempDir::new().expect("temporary directories can be made");
        let certificate = Certificate { home };
        let [chain, secret] = certificate.files();
        write(&chain, &signed.pem());
        write(&secret, &key.serialize_pem());
        certificate
    }
}

impl Certificate {
    /// The files of the certificate and its key.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        ["certificate.pem", "key.pem"].map(|name| self.home.path().join(name))
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the machine has randomness")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("temporary directories are writable");
}
