//! Reads certificates and keys. Nothing here runs for plain http.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::config::TlsSettings;
use super::error::ConfigError;

/// Our certificate chain and its key.
pub(super) struct Identity {
    /// The chain, our own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key, known to be the first certificate's.
    pub key_pem: Vec<u8>,
}

/// The cryptography that rustls runs on.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The authorities of the file or the folder `ca`.
pub(super) fn authorities(ca: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let setting = "ca_path";
    let files = if ca.is_dir() { files_of(ca).map_err(|e| unreadable(setting, ca, e))? } else { vec![ca.to_owned()] };
    let mut found = Vec::new();
    for file in &files {
        found.extend(certificates(setting, file)?);
    }
    if found.is_empty() {
        return Err(invalid(setting, ca, "holds no certificate in PEM form"));
    }
    Ok(found)
}

fn files_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// The certificate chain and the key of `settings.client`.
pub(super) fn identity(settings: &TlsSettings) -> Result<Option<Identity>, ConfigError> {
    let Some((cert, key)) = &settings.client else { return Ok(None) };
    let chain = certificates("client_cert", cert)?;
    if chain.is_empty() {
        return Err(invalid("client_cert", cert, "holds no certificate in PEM form"));
    }
    let content = std::fs::read(key).map_err(|source| unreadable("client_key", key, source))?;
    let private = PrivateKeyDer::from_pem_slice(&content).map_err(|_| {
        invalid("client_key", key, "holds no private key in PEM form (an encrypted one is no use here)")
    })?;
    // Later on, a key that is not the certificate's would bring the handshake down without a reason.
    CertifiedKey::from_der(chain.clone(), private, &provider())
        .map_err(|error| invalid("client_key", key, &format!("does not go with client_cert: {error}")))?;
    Ok(Some(Identity { chain, key_pem: content }))
}

fn certificates(setting: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let content = std::fs::read(file).map_err(|source| unreadable(setting, file, source))?;
    CertificateDer::pem_slice_iter(&content)
        .collect::<Result<_, _>>()
        .map_err(|_| invalid(setting, file, "is not in PEM form"))
}

fn unreadable(setting: &'static str, file: &Path, source: std::io::Error) -> ConfigError {
    ConfigError::File { setting, path: file.display().to_string(), source }
}

fn invalid(setting: &'static str, file: &Path, problem: &str) -> ConfigError {
    ConfigError::Invalid { setting, problem: format!("{} {problem}", file.display()) }
}
