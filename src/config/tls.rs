//! `[tls]`: the certificate of the bridge's own listener.

use std::path::PathBuf;

use serde::Deserialize;

use super::faults::{ConfigError, value_error};

/// `[tls]` as it is typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Typed {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// Where the listener's certificate is. Both files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the bridge's own certificate first.
    pub certificate: PathBuf,
    /// The private key of the first one.
    pub key: PathBuf,
}

/// From the table; `None`: plain HTTP. The files are read by who listens, and again when they change.
pub(super) fn resolve(typed: Typed) -> Result<Option<TlsFiles>, ConfigError> {
    match (typed.certificate, typed.key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (Some(_), None) => Err(value_error("tls.key", "", "the key of tls.certificate, PEM")),
        (None, Some(_)) => Err(value_error("tls.certificate", "", "the chain of tls.key, PEM")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load};
    use super::*;

    #[test]
    fn both_files_or_none() {
        let loaded = |text: &str| load(&Sources { text: Some(text.into()), ..Sources::default() });
        assert_eq!(loaded("").unwrap().tls, None);
        let tls = loaded("[tls]\ncertificate = \"a.pem\"\nkey = \"b.pem\"").unwrap().tls;
        assert_eq!(tls, Some(TlsFiles { certificate: "a.pem".into(), key: "b.pem".into() }));
        let error = loaded("[tls]\ncertificate = \"a.pem\"").unwrap_err().to_string();
        assert!(error.contains("tls.key"), "{error}");
    }
}
