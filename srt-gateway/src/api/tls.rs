//! The API's certificate: read from PEM files, and again when they change, so that a renewal needs no restart.

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    thread,
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

use super::{
    alarms::{self, Expiry},
    server::ApiError,
};
use crate::config::Tls;

/// The shortest time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How often they are looked at without a client.
const UNASKED: Duration = Duration::from_secs(60);

/// Wraps connections in TLS.
#[derive(Clone)]
pub(super) struct Acceptor(Arc<Certificate>);

struct Certificate {
    loaded: ArcSwap<Loaded>,
    /// A thread is reading the files. There is at most one, so a hanging file system blocks only that thread.
    reading: AtomicBool,
}

struct Loaded {
    files: Tls,
    written: Option<(SystemTime, SystemTime)>,
    looked: Instant,
    config: Arc<ServerConfig>,
    /// None: it cannot be read.
    expiry: Option<Expiry>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// How long the certificate holds. Has the files looked at now and then, so that a renewal is seen without a client.
    pub(super) fn expiry(&self) -> Option<Expiry> {
        if self.0.loaded.load().looked.elapsed() > UNASKED {
            self.look_for_newer();
        }
        self.0.loaded.load().expiry
    }

    /// Reads both files.
    pub(super) fn new(files: &Tls) -> Result<Self, ApiError> {
        let loaded = Loaded::read(files).map_err(ApiError::Tls)?;
        Ok(Self(Arc::new(Certificate {
            loaded: ArcSwap::from_pointee(loaded),
            reading: AtomicBool::new(false),
        })))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.look_for_newer();
        let config = Arc::clone(&self.0.loaded.load().config);
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Starts a thread that checks the files, at most every [`CHECK_INTERVAL`]. The API's thread never touches a file.
    fn look_for_newer(&self) {
        let certificate = Arc::clone(&self.0);
        if certificate.loaded.load().looked.elapsed() < CHECK_INTERVAL
            || certificate.reading.swap(true, Acquire)
        {
            return;
        }
        let spawned = thread::Builder::new()
            .name("tls-files".to_owned())
            .spawn(move || {
                certificate.renew();
                certificate.reading.store(false, Release);
            });
        if spawned.is_err() {
            self.0.reading.store(false, Release);
        }
    }
}

impl Certificate {
    /// Loads newer files if they are valid.
    fn renew(&self) {
        let loaded = self.loaded.load();
        let mut next = Loaded {
            files: loaded.files.clone(),
            written: loaded.written,
            looked: Instant::now(),
            config: Arc::clone(&loaded.config),
            expiry: loaded.expiry,
        };
        let written = written(&loaded.files);
        if written != loaded.written && written.is_some() {
            match Loaded::read(&loaded.files) {
                Ok(read) => {
                    info!("the API has a new certificate");
                    next = read;
                }
                Err(why) => {
                    // Logged once per change: a half-written pair is followed by another change.
                    warn!("the API keeps its current certificate: {why}");
                    next.written = written;
                }
            }
        }
        self.loaded.store(Arc::new(next));
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
            return Err(format!("{cert_name}: contains no certificate"));
        }
        let expiry = alarms::expiry(&chain[0]);
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
            expiry,
        })
    }
}
