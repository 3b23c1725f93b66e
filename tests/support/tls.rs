//! Certificates for an agent that speaks TLS.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority, a server's certificate for `server.dc1.consul` and `127.0.0.1`, and a client's.
#[derive(Debug)]
pub struct Certificates {
    pub ca: PathBuf,
    pub server: (PathBuf, PathBuf),
    pub client: (PathBuf, PathBuf),
}

impl Certificates {
    /// Makes them in `folder`. `expired` makes the server's certificate one of the past.
    pub fn make(folder: &Path, expired: bool) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        let ca = write(folder, "ca.pem", &params.self_signed(&key).expect("a certificate").pem());
        let issuer = Issuer::new(params, key);
        let sign = |name: &str, params: CertificateParams| {
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            (
                write(folder, &format!("{name}.pem"), &certificate.pem()),
                write(folder, &format!("{name}-key.pem"), &key.serialize_pem()),
            )
        };
        let names = ["server.dc1.consul", "localhost"].map(ToOwned::to_owned).to_vec();
        let mut server = CertificateParams::new(names).expect("parameters");
        if expired {
            server.not_before = date_time_ymd(2001, 1, 1);
            server.not_after = date_time_ymd(2002, 1, 1);
        }
        let client = CertificateParams::new(vec!["client.dc1.consul".to_owned()]).expect("parameters");
        Self { ca, server: sign("server", server), client: sign("client", client) }
    }
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, content).expect("a file");
    file
}
