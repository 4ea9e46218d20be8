//! A server on the loopback that speaks HTTP/1.1 over TLS, with a certificate of an authority of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// Headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What was sent, where its length was.
    pub body: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How many bytes of the body are sent before the connection breaks.
    pub cut: Option<usize>,
}

impl Response {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), cut: None }
    }

    pub fn status(status: u16, body: &str) -> Self {
        Self { status, ..Self::ok(body) }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// The server; it ends with the process.
pub struct Server {
    pub port: u16,
    /// The certificate of its authority.
    pub ca: PathBuf,
    pub seen: Arc<Mutex<Vec<Request>>>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// `localhost:<port>`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The headers of this name that were sent with requests whose path starts so.
    pub fn sent(&self, path: &str, header: &str) -> Vec<Option<String>> {
        let seen = self.seen.lock().unwrap();
        let asked = seen.iter().filter(|request| request.path.starts_with(path));
        asked.map(|request| request.headers.get(header).cloned()).collect()
    }

    /// Starts a server. The handler gets the host under which it is reached.
    pub fn start(handler: impl Fn(&Request, &str) -> Response + Send + Sync + 'static) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        let config = Arc::new(config);
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority_certificate.pem()).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (handler, log) = (Arc::new(handler), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (config, handler, log) = (config.clone(), handler.clone(), log.clone());
                std::thread::spawn(move || {
                    let connection = rustls::ServerConnection::new(config).unwrap();
                    let stream = rustls::StreamOwned::new(connection, stream);
                    let _ = serve(stream, &*handler, &log, port);
                });
            }
        });
        Self { port, ca, seen, _folder: folder }
    }
}

type Stream = rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>;

fn serve(
    stream: Stream,
    handler: &dyn Fn(&Request, &str) -> Response,
    log: &Mutex<Vec<Request>>,
    port: u16,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = Request { path, headers, body };
    log.lock().unwrap().push(request.clone());
    let response = handler(&request, &format!("localhost:{port}"));
    let mut stream = reader.into_inner();
    let length = response.body.len();
    write!(stream, "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {length}\r\n", response.status)?;
    for (name, value) in &response.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&response.body[..response.cut.unwrap_or(length)])?;
    stream.flush()?;
    stream.conn.send_close_notify();
    stream.flush()
}
