//! TLS of the listener: rustls on aws-lc-rs, TLS 1.2 and 1.3 with nothing but AEAD ciphers.
//!
//! The files are looked at now and then: who renews a certificate need not tell anybody. Connections that are there keep theirs. Files
//! that do not fit each other, as while the second one is being written, change nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::config::TlsFiles;

/// How often the files are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest handshake. Twilio's takes two round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a connection may hold of what its peer does not read, bytes: beside the kernel's buffer, so little. A second of sound has
/// some 14 kB.
const BUFFER_BYTES: usize = 8 * 1024;

/// Why the certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{}: no {what} in PEM: {source}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// The key is not the certificate's, or not one that can be used.
    #[error("{} and {} do not work together: {source}", certificate.display(), key.display())]
    Unfit {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

type Stamps = [Option<SystemTime>; 2];

/// The certificate in force.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Stamps>,
}

impl Tls {
    /// Reads the files.
    pub fn new(files: TlsFiles) -> Result<Self, TlsError> {
        // First the times: a file that changes meanwhile is read again.
        let seen = stamps(&files);
        let config = Arc::new(read(&files)?);
        Ok(Self { files, config: RwLock::new(config), seen: Mutex::new(seen) })
    }

    /// Reads the files again if they have changed. Whether the certificate is another one now. Blocks on the disk.
    pub fn look(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.files);
        if std::mem::replace(&mut *self.seen.lock().unwrap_or_else(|e| e.into_inner()), now) == now {
            return Ok(false);
        }
        let config = Arc::new(read(&self.files)?);
        *self.config.write().unwrap_or_else(|e| e.into_inner()) = config;
        Ok(true)
    }

    /// The handshake of a connection. `None`: it failed or took too long, and the connection is of no use.
    pub(super) async fn accept(&self, tcp: TcpStream) -> Option<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(|e| e.into_inner()));
        let handshake = TlsAcceptor::from(config).accept(tcp);
        let outcome = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(mut tls)) => {
                tls.get_mut().1.set_buffer_limit(Some(BUFFER_BYTES));
                return Some(tls);
            }
            Ok(Err(_)) => "failed",
            Err(_) => "too_slow",
        };
        metrics::counter!("aria_tls_handshakes_lost_total", "reason" => outcome).increment(1);
        None
    }
}

fn stamps(files: &TlsFiles) -> Stamps {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    [modified(&files.certificate), modified(&files.key)]
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let open = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
    };
    let not_pem = |path: &Path, what, source| TlsError::NotPem { path: path.to_owned(), what, source };
    let chain = CertificateDer::pem_slice_iter(&open(&files.certificate)?).collect::<Result<Vec<_>, _>>();
    let chain =
        chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    let chain = chain.map_err(|source| not_pem(&files.certificate, "certificate", source))?;
    let key = PrivateKeyDer::from_pem_slice(&open(&files.key)?);
    let key = key.map_err(|source| not_pem(&files.key, "private key", source))?;
    let unfit =
        |source| TlsError::Unfit { certificate: files.certificate.clone(), key: files.key.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    // WebSockets as Twilio opens them are of HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("aria-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn write(files: &TlsFiles, which: [bool; 2], at: Duration) {
        let pair = rcgen::generate_simple_self_signed(["voice.example.com".to_owned()]).unwrap();
        let texts = [(&files.certificate, pair.cert.pem()), (&files.key, pair.signing_key.serialize_pem())];
        for ((path, text), _) in texts.iter().zip(which).filter(|(_, wanted)| *wanted) {
            std::fs::write(path, text).unwrap();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + at).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_with_the_files_is_named() {
        let place = directory("wrong");
        let files = TlsFiles { certificate: place.join("a.pem"), key: place.join("b.pem") };
        let error = |files: &TlsFiles| Tls::new(files.clone()).unwrap_err().to_string();
        assert!(error(&files).contains("a.pem"));
        write(&files, [true, true], Duration::from_secs(1));
        assert!(Tls::new(files.clone()).is_ok());
        assert!(
            error(&TlsFiles { certificate: files.key.clone(), ..files.clone() }).contains("no certificate")
        );
        assert!(
            error(&TlsFiles { key: files.certificate.clone(), ..files.clone() }).contains("no private key")
        );
        write(&files, [false, true], Duration::from_secs(2));
        assert!(error(&files).contains("do not work together"));
    }

    #[test]
    fn new_files_come_into_force_and_half_of_them_do_not() {
        let place = directory("new");
        let files = TlsFiles { certificate: place.join("a.pem"), key: place.join("b.pem") };
        write(&files, [true, true], Duration::from_secs(1));
        let tls = Tls::new(files.clone()).unwrap();
        assert!(!tls.look().unwrap());
        write(&files, [true, false], Duration::from_secs(2));
        assert!(tls.look().is_err(), "the key is still the old one's");
        assert!(!tls.look().unwrap(), "told once");
        write(&files, [true, true], Duration::from_secs(3));
        assert!(tls.look().unwrap());
    }
}
