//! Keys and certificates of one testbed. They are made at its start and live as long as its state directory.

use super::error::{IoContext as _, TestbedError};
use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The user that the harness is, towards the management cluster.
pub const HARNESS_USER: &str = "stack-e2e";
/// The group of the harness's user.
pub const HARNESS_GROUP: &str = "stack-e2e:harness";

/// Where everything is.
#[derive(Debug, Clone)]
pub(super) struct Pki {
    dir: PathBuf,
}

impl Pki {
    pub(super) fn in_state(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("pki") }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The directory with `tls.crt` and `tls.key` for webhook servers.
    pub(super) fn serving_dir(&self) -> &Path {
        &self.dir
    }
}

/// What goes into kubeconfigs and webhook configurations.
pub(super) struct Issued {
    pub ca: String,
    pub admin: (String, String),
    pub harness: (String, String),
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &'static str) -> Result<Authority, TestbedError> {
    let failed = |source| TestbedError::Certificate { name: name.to_owned(), source };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let pem = params.self_signed(&key).map_err(failed)?.pem();
    Ok(Authority { pem, issuer: Issuer::new(params, key) })
}

impl Authority {
    /// A certificate and its key, both as PEM.
    fn issue(
        &self,
        name: &str,
        group: Option<&str>,
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<(String, String), TestbedError> {
        let failed = |source| TestbedError::Certificate { name: name.to_owned(), source };
        // Client certificates need no address; those of servers are only ever asked for loopback.
        let addresses = if usages.contains(&ExtendedKeyUsagePurpose::ServerAuth) {
            ["127.0.0.1", "localhost", "kubernetes.default.svc", "10.254.0.1"].map(str::to_owned).to_vec()
        } else {
            Vec::new()
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::new(addresses).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn keep(&self, pki: &Pki, file: &str) -> Result<(), TestbedError> {
        // Its key is not written: nothing is signed after the start.
        write_private(&pki.file(file), &self.pem)
    }
}

/// Makes everything anew.
pub(super) fn make(pki: &Pki) -> Result<Issued, TestbedError> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    fs::create_dir_all(&pki.dir).on("cannot create", &pki.dir)?;

    // etcd has an authority of its own: a user of the API server must not get at the storage behind it.
    let storage = authority("stack-e2e testbed storage")?;
    storage.keep(pki, "etcd-ca.crt")?;
    write_pair(pki, "etcd", &storage.issue("etcd", None, &[ServerAuth, ClientAuth])?)?;

    let cluster = authority("stack-e2e testbed")?;
    cluster.keep(pki, "ca.crt")?;
    write_pair(pki, "tls", &cluster.issue("testbed", None, &[ServerAuth])?)?;

    let failed = |source| TestbedError::Certificate { name: "service accounts".to_owned(), source };
    let accounts = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    write_private(&pki.file("sa.key"), &accounts.serialize_pem())?;
    write_private(&pki.file("sa.pub"), &accounts.public_key_pem())?;

    Ok(Issued {
        admin: cluster.issue("testbed-admin", Some("system:masters"), &[ClientAuth])?,
        harness: cluster.issue(HARNESS_USER, Some(HARNESS_GROUP), &[ClientAuth])?,
        ca: cluster.pem,
    })
}

fn write_pair(pki: &Pki, name: &str, (certificate, key): &(String, String)) -> Result<(), TestbedError> {
    write_private(&pki.file(&format!("{name}.crt")), certificate)?;
    write_private(&pki.file(&format!("{name}.key")), key)
}

/// Writes a file that only its owner can read, from its first byte on.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), TestbedError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .on("cannot write", path)
}

/// A kubeconfig with everything in it.
pub(super) fn kubeconfig(port: u16, ca: &str, user: &str, (certificate, key): &(String, String)) -> String {
    let [ca, certificate, key] = [ca, certificate, key].map(base64);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: testbed\n  cluster:\n    server: https://127.0.0.1:{port}\n    \
         certificate-authority-data: {ca}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {certificate}\n    \
         client-key-data: {key}\ncontexts:\n- name: testbed\n  context:\n    cluster: testbed\n    user: {user}\n\
         current-context: testbed\n"
    )
}

/// Standard base64, as Kubernetes embeds bytes.
pub(super) fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_for_their_owner_only_and_kubeconfigs_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::in_state(dir.path());
        let issued = make(&pki).unwrap();
        for entry in fs::read_dir(pki.serving_dir()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
        assert!(!pki.file("ca.key").exists(), "the key of the authority is never on the disk");
        let text = kubeconfig(6443, &issued.ca, HARNESS_USER, &issued.harness);
        let read = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(read.auth_infos[0].name, HARNESS_USER);
        assert_eq!(
            read.clusters[0].cluster.as_ref().unwrap().server.as_deref(),
            Some("https://127.0.0.1:6443")
        );
    }
}
