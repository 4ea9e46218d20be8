//! The components that are started, their ports and their arguments. Pure: a secret is never among them, only its file.

use super::component::Provider;
use super::pki::Pki;
use super::state::{State, TestbedInfo};

/// What is started besides the helpers of the namespace, in this order.
pub(super) const STARTED: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "capi-dev",
    "capi-core",
    "capi-control-plane",
    "capi-bootstrap",
];

/// Ports that are taken when they are free: numbers that stay the same are easier to remember.
pub(super) const PREFERRED_PORTS: [(&str, u16); 17] = [
    ("etcd", 23790),
    ("etcd-peer", 23791),
    ("etcd-health", 23792),
    ("kube-apiserver", 26443),
    ("kube-controller-manager", 26257),
    ("capi-dev", 29440),
    ("capi-dev-webhook", 29441),
    ("capi-dev-metrics", 29442),
    ("capi-core", 29450),
    ("capi-core-webhook", 29451),
    ("capi-core-metrics", 29452),
    ("capi-control-plane", 29460),
    ("capi-control-plane-webhook", 29461),
    ("capi-control-plane-metrics", 29462),
    ("capi-bootstrap", 29470),
    ("capi-bootstrap-webhook", 29471),
    ("capi-bootstrap-metrics", 29472),
];

/// What the arguments are made from.
pub(super) struct Arguments<'a> {
    pub state: &'a State,
    pub testbed: &'a TestbedInfo,
    pub pki: &'a Pki,
}

impl Arguments<'_> {
    fn file(&self, name: &str) -> String {
        self.pki.file(name).display().to_string()
    }

    pub(super) fn etcd(&self) -> Vec<String> {
        let url = |purpose| format!("https://127.0.0.1:{}", self.state.port(purpose));
        let (client, peer) = (url("etcd"), url("etcd-peer"));
        let mut flags = Flags::default();
        flags
            .set("data-dir", self.testbed.state_dir.join("etcd").display())
            // Nothing has to survive a crash of the machine: the workload clusters would not, either.
            .set("unsafe-no-fsync", true)
            .set("listen-client-urls", &client)
            .set("advertise-client-urls", &client)
            .set("listen-peer-urls", &peer)
            .set("initial-advertise-peer-urls", &peer)
            .set("initial-cluster", format!("default={peer}"))
            .set("listen-metrics-urls", format!("http://127.0.0.1:{}", self.state.port("etcd-health")))
            .set("log-level", "warn");
        for side in ["", "peer-"] {
            flags
                .set(&format!("{side}client-cert-auth"), true)
                .set(&format!("{side}trusted-ca-file"), self.file("etcd-ca.crt"))
                .set(&format!("{side}cert-file"), self.file("etcd.crt"))
                .set(&format!("{side}key-file"), self.file("etcd.key"));
        }
        flags.0
    }

    pub(super) fn apiserver(&self) -> Vec<String> {
        let mut flags = Flags::default();
        flags
            .set("etcd-servers", format!("https://127.0.0.1:{}", self.state.port("etcd")))
            .set("etcd-cafile", self.file("etcd-ca.crt"))
            .set("etcd-certfile", self.file("etcd.crt"))
            .set("etcd-keyfile", self.file("etcd.key"))
            .set("bind-address", "127.0.0.1")
            .set("advertise-address", "127.0.0.1")
            .set("secure-port", self.state.port("kube-apiserver"))
            // An endpoint on loopback would be refused, and there is nobody to use it.
            .set("endpoint-reconciler-type", "none")
            .set("tls-cert-file", self.file("tls.crt"))
            .set("tls-private-key-file", self.file("tls.key"))
            .set("client-ca-file", self.file("ca.crt"))
            .set("anonymous-auth", false)
            .set("authorization-mode", "RBAC")
            .set("service-cluster-ip-range", "10.254.0.0/24")
            .set("service-account-issuer", &self.testbed.server)
            .set("service-account-key-file", self.file("sa.pub"))
            .set("service-account-signing-key-file", self.file("sa.key"))
            // It would wait for service accounts that no controller makes here.
            .set("disable-admission-plugins", "ServiceAccount")
            .set("v", 1);
        flags.0
    }

    pub(super) fn controller_manager(&self) -> Vec<String> {
        let mut flags = Flags::default();
        flags
            .set("kubeconfig", self.testbed.admin_kubeconfig.display())
            .set("bind-address", "127.0.0.1")
            .set("secure-port", self.state.port("kube-controller-manager"))
            .set("tls-cert-file", self.file("tls.crt"))
            .set("tls-private-key-file", self.file("tls.key"))
            .set("leader-elect", false)
            // Owner references and the deletion of namespaces is all that Cluster API relies on.
            .set("controllers", "namespace-controller,garbage-collector-controller")
            .set("kube-api-qps", 200)
            .set("kube-api-burst", 400)
            .set("v", 1);
        flags.0
    }

    pub(super) fn manager(&self, provider: &Provider) -> Vec<String> {
        let port = |purpose: &str| self.state.port(&format!("{}{purpose}", provider.component));
        let mut flags = Flags::default();
        flags
            .set("kubeconfig", self.testbed.admin_kubeconfig.display())
            .set("webhook-port", port("-webhook"))
            .set("webhook-cert-dir", self.pki.serving_dir().display())
            .set("health-addr", format!("127.0.0.1:{}", port("")))
            .set("diagnostics-address", format!("127.0.0.1:{}", port("-metrics")))
            .set("insecure-diagnostics", true)
            .set("feature-gates", provider.gates)
            .set("leader-elect", false)
            .set("kube-api-qps", 200)
            .set("kube-api-burst", 400)
            .set("clustercache-client-qps", 200)
            .set("clustercache-client-burst", 400)
            // There are no objects of older versions in a new cluster.
            .set("skip-crd-migration-phases", "StorageVersionMigration,CleanupManagedFields")
            .set("v", 2);
        flags.0.extend(provider.flags.iter().map(|flag| (*flag).to_owned()));
        flags.0
    }
}

#[derive(Default)]
struct Flags(Vec<String>);

impl Flags {
    fn set(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.0.push(format!("--{name}={value}"));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_differ() {
        let ports: BTreeSet<u16> = PREFERRED_PORTS.iter().map(|(_, port)| *port).collect();
        assert_eq!(ports.len(), PREFERRED_PORTS.len());
        for component in STARTED {
            assert!(
                PREFERRED_PORTS.iter().any(|(purpose, _)| *purpose == component),
                "{component} has a port"
            );
        }
    }
}
