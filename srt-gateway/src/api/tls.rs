//! The certificate of the API: read from PEM files, and read again when they change, so that a renewal needs no restart.

use std::{
    fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};
use tracing::{info, warn};

use super::server::ApiError;
use crate::config::Tls;

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(2);

/// Makes TLS of connections.
#[derive(Clone)]
pub(super) struct Acceptor(Arc<ArcSwap<Loaded>>);

struct Loaded {
    files: Tls,
    written: Option<(SystemTime, SystemTime)>,
    looked: Instant,
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// Reads both files.
    pub(super) fn new(files: &Tls) -> Result<Self, ApiError> {
        let loaded = Loaded::read(files).map_err(ApiError::Tls)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(loaded))))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.renew();
        let config = Arc::clone(&self.0.load().config);
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Takes newer files, if they are good. Reads two small files on the API's thread, when they have changed.
    fn renew(&self) {
        let loaded = self.0.load();
        if loaded.looked.elapsed() < LOOK {
            return;
        }
        let mut next = Loaded {
            files: loaded.files.clone(),
            written: loaded.written,
            looked: Instant::now(),
            config: Arc::clone(&loaded.config),
        };
        let written = written(&loaded.files);
        if written != loaded.written && written.is_some() {
            match Loaded::read(&loaded.files) {
                Ok(read) => {
                    info!("the API has a new certificate");
                    next = read;
                }
                Err(why) => {
                    // Said once for each change: a half-written pair is followed by another one.
                    warn!("the API keeps its certificate: {why}");
                    next.written = written;
                }
            }
        }
        self.0.store(Arc::new(next));
    }
}

fn written(files: &Tls) -> Option<(SystemTime, SystemTime)> {
    let of = |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    Some((of(&files.cert)?, of(&files.key)?))
}

impl Loaded {
    fn read(files: &Tls) -> Result<Self, String> {
        let written = written(files);
        let cert_name = files.cert.display();
        let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
            .and_then(Iterator::collect)
            .map_err(|error| format!("{cert_name}: {error}"))?;
        if chain.is_empty() {
            return Err(format!("{cert_name}: there is no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| format!("{}: {error}", files.key.display()))?;
        let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| format!("{cert_name}: {error}"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            files: files.clone(),
            written,
            looked: Instant::now(),
            config: Arc::new(config),
        })
    }
}
