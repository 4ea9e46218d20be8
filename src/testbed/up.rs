//! Starts the testbed: files, namespace, processes, definitions, identities, each as early as what it needs is there.

use super::build::Components;
use super::component::PROVIDERS;
use super::error::{IoContext as _, TestbedError};
use super::manifest::Manifest;
use super::pki::{self, Issued, Pki};
use super::process::Processes;
use super::state::{self, State, TestbedInfo};
use super::{Progress, Settings, build, identity, net};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kube::Client;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
const PREFERRED_PORTS: [(&str, u16); 17] = [
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
/// What cannot be told to listen on loopback only.
const OPEN_PORTS: &str = "19000, 20000-24000 and those of the webhooks (29441, 29451, 29461, 29471)";

/// How many objects are sent at once.
const AT_ONCE: usize = 8;
/// How long one look at a component may take.
const PROBE: Duration = Duration::from_secs(5);
/// Who owns the fields of what is applied here.
const FIELD_MANAGER: &str = "stack-e2e-testbed";

/// Starts the testbed, or finds it running. Builds what is missing. On return the calling process, which must have one
/// thread, is in the network namespace of the testbed.
pub fn up(settings: &Settings, progress: &mut dyn FnMut(Progress)) -> Result<TestbedInfo, TestbedError> {
    // Building takes minutes, so it comes before the lock; but a testbed that runs needs no building.
    let mut components = None;
    if State::load(&settings.state_dir)?.is_none() {
        components = Some(build::build(settings, progress)?);
    }
    let _lock = state::open(&settings.state_dir, progress)?;
    if let Some(running) = running(settings, progress)? {
        return Ok(running);
    }
    let components = match components {
        Some(components) => components,
        None => build::build(settings, progress)?,
    };
    start(settings, &components, progress)
}

/// The testbed of an earlier start, when it is whole. What is left of a broken one is stopped and cleared.
fn running(
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<TestbedInfo>, TestbedError> {
    let state_dir = &settings.state_dir;
    let Some(state) = State::load(state_dir)? else {
        return Ok(None);
    };
    let processes = Processes::in_state(state_dir);
    let records = processes.all()?;
    let dead = state::dead(&state, &processes, &records);
    if state.ready && dead.is_empty() {
        let testbed = TestbedInfo::of(state_dir, &state, &records);
        state::join(&testbed)?;
        super::runtime()?.block_on(async {
            let mut started = Started::new(settings, &processes);
            let client = client(&testbed.admin_kubeconfig).await?;
            started
                .wait("kube-apiserver", "/readyz", async || ready_api(&client).await)
                .await
        })?;
        return Ok(Some(testbed));
    }
    if !state.ready {
        progress(Progress::Warning {
            text: "an earlier start was cut short; what it left is removed".into(),
        });
    } else {
        for component in dead {
            let tail = component.tail.unwrap_or_default();
            progress(Progress::Crashed {
                component: component.name,
                tail,
            });
        }
    }
    super::runtime()?.block_on(state::stop_all(state_dir, progress))?;
    state::clear(state_dir)?;
    Ok(None)
}

/// The children of this start, and waiting for them.
struct Started<'a> {
    settings: &'a Settings,
    processes: &'a Processes,
    children: Vec<(&'static str, Child)>,
}

impl<'a> Started<'a> {
    fn new(settings: &'a Settings, processes: &'a Processes) -> Self {
        Self {
            settings,
            processes,
            children: Vec::new(),
        }
    }

    fn launch(
        &mut self,
        component: &'static str,
        components: &Components,
        arguments: Vec<String>,
        environment: &[(&str, &str)],
    ) -> Result<(), TestbedError> {
        let Some(program) = components.program(component) else {
            return Err(TestbedError::NoSuchBinary {
                component: component.to_owned(),
                path: component.into(),
                named_by: "nobody".into(),
            });
        };
        let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
        let child = self.processes.launch(
            &self.settings.self_exe,
            component,
            program,
            &arguments,
            environment,
        )?;
        self.children.push((component, child));
        Ok(())
    }

    /// An error when a child has ended: none of them does so of its own will.
    fn check(&mut self, waiting_for: &str) -> Result<(), TestbedError> {
        for (component, child) in &mut self.children {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(TestbedError::Exited {
                    component: (*component).to_owned(),
                    status: status.to_string(),
                    waiting_for: waiting_for.to_owned(),
                    log: self.processes.log(component),
                    tail: self.processes.tail(component),
                });
            }
        }
        Ok(())
    }

    /// Probes a component until it is ready, a child ends or the time is over.
    async fn wait(
        &mut self,
        component: &str,
        what: &str,
        probe: impl AsyncFn() -> Result<(), String>,
    ) -> Result<(), TestbedError> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            let last = match tokio::time::timeout(PROBE, probe()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => why,
                Err(_) => format!("no answer in {} s", PROBE.as_secs()),
            };
            self.check(&format!("{what} of `{component}`"))?;
            if started.elapsed() > self.settings.timeout {
                return Err(TestbedError::NotReady {
                    component: component.to_owned(),
                    after: self.settings.timeout,
                    last,
                    log: self.processes.log(component),
                    tail: self.processes.tail(component),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(250));
        }
    }
}

/// The parts of a start with their times.
struct Parts<'a> {
    begun: Instant,
    done: Vec<(String, Duration)>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Parts<'_> {
    fn ready(&mut self, part: &str, since: Instant) {
        let took = since.elapsed();
        (self.progress)(Progress::Ready {
            part: part.to_owned(),
            took,
        });
        self.done.push((part.to_owned(), took));
    }
}

fn start(
    settings: &Settings,
    components: &Components,
    progress: &mut dyn FnMut(Progress),
) -> Result<TestbedInfo, TestbedError> {
    let started = begin(settings, components, progress);
    if let Err(error) = &started {
        super::runtime()?.block_on(state::stop_all(&settings.state_dir, &mut |_| ()))?;
        // Where a component failed, the logs stay for a look; `down` or the next `up` removes them.
        if matches!(error, TestbedError::OpenPorts { .. } | TestbedError::Interrupted) {
            state::remove(&settings.state_dir)?;
        }
    }

    started
}

fn begin(
    settings: &Settings,
    components: &Components,
    progress: &mut dyn FnMut(Progress),
) -> Result<TestbedInfo, TestbedError> {
    let state_dir = &settings.state_dir;
    let processes = Processes::in_state(state_dir);
    let mut parts = Parts {
        begun: Instant::now(),
        done: Vec::new(),
        progress,
    };
    let mut state = State::default();
    state.save(state_dir)?;
    processes.create()?;
    let manifests = components.manifests()?;
    let pki = Pki::in_state(state_dir);
    let issued = pki::make(&pki)?;
    parts.ready("certificates", parts.begun);

    let since = Instant::now();
    let mut started = Started::new(settings, &processes);
    // The API server is reachable from outside at the same port, so it must be free on both sides.
    let api = net::free_port("kube-apiserver", 26443, &[])?;
    state.namespace = namespace(settings, &mut started, api, &mut parts)?;
    for (purpose, preferred) in PREFERRED_PORTS {
        let taken: Vec<u16> = state.ports.values().copied().collect();
        let port = if purpose == "kube-apiserver" {
            api
        } else {
            net::free_port(purpose, preferred, &taken)?
        };
        state.ports.insert(purpose.to_owned(), port);
    }
    state.save(state_dir)?;
    parts.ready("namespace", since);

    let testbed = TestbedInfo::of(state_dir, &state, &processes.all()?);
    for (path, user, identity) in [
        (&testbed.admin_kubeconfig, "testbed-admin", &issued.admin),
        (&testbed.kubeconfig, pki::HARNESS_USER, &issued.harness),
    ] {
        pki::write_private(path, &pki::kubeconfig(api, &issued.ca, user, identity))?;
    }

    let world = World {
        components,
        state: &state,
        testbed: &testbed,
        pki: &pki,
        issued: &issued,
    };
    super::runtime()?.block_on(async {
        let interrupted = interrupted().map_err(TestbedError::Runtime)?;
        tokio::select! {
            done = world.run(&mut started, manifests, &mut parts) => done,
            () = interrupted => Err(TestbedError::Interrupted),
        }
    })?;
    parts.ready("all", parts.begun);
    state.ready = true;
    state.parts = parts
        .done
        .iter()
        .map(|(part, took)| (part.clone(), took.as_secs_f64()))
        .collect();
    state.save(state_dir)?;
    Ok(TestbedInfo {
        started: parts.done,
        already_running: false,
        ..testbed
    })
}

/// Resolves at the first SIGINT or SIGTERM.
fn interrupted() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Makes the network namespace, the way into it, and enters it. `false` when there is none, and none is needed.
fn namespace(
    settings: &Settings,
    started: &mut Started<'_>,
    api: u16,
    parts: &mut Parts<'_>,
) -> Result<bool, TestbedError> {
    let why = if settings.host_network {
        "it was not wanted".to_owned()
    } else {
        let mut hold =
            started
                .processes
                .launch_self(&settings.self_exe, "hold", &[], Some(Stdio::piped()))?;
        let mut answer = [0; 512];
        // One line comes, or the end of the pipe when the helper cannot even say why.
        let length = match hold.stdout.take() {
            Some(mut said) => said.read(&mut answer).unwrap_or_default(),
            None => 0,
        };
        let answer = String::from_utf8_lossy(&answer[..length]).trim().to_owned();
        if answer == "ready" {
            let pid = hold.id().cast_signed();
            started.children.push(("hold", hold));
            let arguments = [
                "--port".to_owned(),
                api.to_string(),
                "--hold".to_owned(),
                pid.to_string(),
            ];
            let arguments = arguments.map(OsString::from);
            let relay = started
                .processes
                .launch_self(&settings.self_exe, "relay", &arguments, None)?;
            started.children.push(("relay", relay));
            net::enter(&settings.state_dir, pid)?;
            return Ok(true);
        }
        let _ = hold.wait();
        if answer.is_empty() {
            "the helper ended early".to_owned()
        } else {
            answer
        }
    };
    let (reachable, public) = net::reachable_addresses();
    let list = |addresses: &[std::net::IpAddr]| {
        addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !public.is_empty() && !settings.open_ports {
        return Err(TestbedError::OpenPorts {
            why,
            ports: OPEN_PORTS.into(),
            addresses: list(&public),
        });
    }
    let audience = if reachable.is_empty() {
        "users of this machine only".to_owned()
    } else {
        format!("everyone who reaches {}", list(&reachable))
    };
    (parts.progress)(Progress::Warning {
        text: format!("there is no network namespace ({why}): ports {OPEN_PORTS} are open to {audience}"),
    });
    Ok(false)
}

/// What a start works with.
struct World<'a> {
    components: &'a Components,
    state: &'a State,
    testbed: &'a TestbedInfo,
    pki: &'a Pki,
    issued: &'a Issued,
}

impl World<'_> {
    async fn run(
        &self,
        started: &mut Started<'_>,
        manifests: Vec<Manifest>,
        parts: &mut Parts<'_>,
    ) -> Result<(), TestbedError> {
        let since = Instant::now();
        started.launch("etcd", self.components, self.etcd(), &[])?;
        // It waits for its storage by itself, and has enough to do until then.
        started.launch("kube-apiserver", self.components, self.apiserver(), &[])?;
        let health = self.state.port("etcd-health");
        started
            .wait("etcd", "/health", async || ready_http(health, "/health").await)
            .await?;
        parts.ready("etcd", since);
        let client = client(&self.testbed.admin_kubeconfig).await?;
        // Definitions can be sent before the last of the checks behind /readyz is passed.
        started
            .wait("kube-apiserver", "the first answer", async || {
                get(&client, "/apis/apiextensions.k8s.io/v1").await.map(drop)
            })
            .await?;
        parts.ready("kube-apiserver answers", since);

        let since_definitions = Instant::now();
        self.apply_all(&client, &manifests).await?;
        parts.ready("definitions sent", since_definitions);
        started
            .wait("kube-apiserver", "discovery", async || {
                all_discovered(&client, &manifests).await
            })
            .await?;
        parts.ready("definitions served", since_definitions);

        let since_managers = Instant::now();
        for provider in &PROVIDERS {
            let namespace = manifests
                .iter()
                .find(|manifest| manifest.component == provider.component && manifest.kind == "Namespace");
            let environment = [
                // The address that the API servers of workload clusters in memory are given.
                ("POD_IP", "127.0.0.1"),
                (
                    "POD_NAMESPACE",
                    namespace.map_or("default", |namespace| &namespace.name),
                ),
                ("POD_NAME", provider.component),
                ("POD_UID", provider.component),
            ];
            started.launch(
                provider.component,
                self.components,
                self.manager(provider),
                &environment,
            )?;
        }
        // Its garbage collector learns of definitions at its start and then rarely, so it comes after them.
        started.launch(
            "kube-controller-manager",
            self.components,
            self.controller_manager(),
            &[],
        )?;
        self.apply_identities(&client, &manifests).await?;
        started
            .wait("kube-apiserver", "/readyz", async || ready_api(&client).await)
            .await?;
        parts.ready("kube-apiserver", since);
        for provider in &PROVIDERS {
            let port = self.state.port(provider.component);
            started
                .wait(provider.component, "/readyz", async || {
                    ready_http(port, "/readyz").await
                })
                .await?;
            parts.ready(provider.component, since_managers);
        }
        let port = self.state.port("kube-controller-manager");
        started
            .wait("kube-controller-manager", "its port", async || {
                ready_tcp(port).await
            })
            .await?;
        started.check("the end of the start")
    }

    fn file(&self, name: &str) -> String {
        self.pki.file(name).display().to_string()
    }

    fn etcd(&self) -> Vec<String> {
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
            .set(
                "listen-metrics-urls",
                format!("http://127.0.0.1:{}", self.state.port("etcd-health")),
            )
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

    fn apiserver(&self) -> Vec<String> {
        let mut flags = Flags::default();
        flags
            .set(
                "etcd-servers",
                format!("https://127.0.0.1:{}", self.state.port("etcd")),
            )
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

    fn controller_manager(&self) -> Vec<String> {
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

    fn manager(&self, provider: &super::component::Provider) -> Vec<String> {
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
            .set(
                "skip-crd-migration-phases",
                "StorageVersionMigration,CleanupManagedFields",
            )
            .set("v", 2);
        flags
            .0
            .extend(provider.flags.iter().map(|flag| (*flag).to_owned()));
        flags.0
    }

    async fn apply_all(&self, client: &Client, manifests: &[Manifest]) -> Result<(), TestbedError> {
        let ca = pki::base64(&self.issued.ca);
        let sent = manifests.iter().map(|manifest| {
            let port = self.state.port(&format!("{}-webhook", manifest.component));
            let what = format!("{}/{}", manifest.kind, manifest.name);
            apply(client, manifest.path(), manifest.filled(port, &ca), what)
        });
        stream::iter(sent).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn apply_identities(&self, client: &Client, manifests: &[Manifest]) -> Result<(), TestbedError> {
        let groups: BTreeSet<String> = manifests
            .iter()
            .map(|manifest| manifest.group.clone())
            .filter(|group| !group.is_empty())
            .collect();
        let objects = identity::objects(&groups).into_iter();
        let sent = objects.map(|(path, object)| {
            let what = path.clone();
            apply(client, path, object.to_string(), what)
        });
        stream::iter(sent).buffer_unordered(AT_ONCE).try_collect().await
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

/// A client with the identity of a kubeconfig.
async fn client(path: &Path) -> Result<Client, TestbedError> {
    let failed = |why: String| TestbedError::Kubeconfig {
        path: path.to_owned(),
        why,
    };
    let text = fs::read_to_string(path).on("cannot read", path)?;
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&text).map_err(|error| failed(error.to_string()))?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .map_err(|error| failed(error.to_string()))?;
    // A proxy for the way out is none for loopback.
    config.proxy_url = None;
    Client::try_from(config).map_err(|error| failed(error.to_string()))
}

/// Server-side apply of one object; only its metadata is sent back. An API server that has just begun to answer may
/// turn requests down for a moment.
async fn apply(client: &Client, path: String, body: String, what: String) -> Result<(), TestbedError> {
    let started = Instant::now();
    loop {
        let request = http::Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}&force=true"))
            .header("content-type", "application/apply-patch+yaml")
            .header(
                "accept",
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            )
            .body(body.clone().into_bytes());
        let error = match request {
            Err(error) => kube::Error::HttpError(error),
            Ok(request) => match client.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
        };
        let passing = match &error {
            kube::Error::Api(status) => status.code >= 500 || status.code == 429,
            kube::Error::Service(_) | kube::Error::HyperError(_) => true,
            _ => false,
        };
        if !passing || started.elapsed() > Duration::from_secs(30) {
            return Err(TestbedError::Apply {
                object: what,
                source: Box::new(error),
            });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn get(client: &Client, path: &str) -> Result<String, String> {
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    client.request_text(request).await.map_err(|error| chain(&error))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

async fn ready_api(client: &Client) -> Result<(), String> {
    get(client, "/readyz").await.map(drop)
}

/// Whether discovery lists what every definition promises: only then can controllers watch it.
async fn all_discovered(client: &Client, manifests: &[Manifest]) -> Result<(), String> {
    let request = http::Request::get("/apis")
        .header(
            "accept",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        )
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    let text = client
        .request_text(request)
        .await
        .map_err(|error| chain(&error))?;
    let discovery: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    match undiscovered(&discovery, manifests).first() {
        None => Ok(()),
        Some(missing) => Err(format!("`{missing}` is not served yet")),
    }
}

fn undiscovered(discovery: &Value, manifests: &[Manifest]) -> Vec<String> {
    let mut served: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for group in discovery["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in group["versions"].as_array().into_iter().flatten() {
            for resource in version["resources"].as_array().into_iter().flatten() {
                served.insert((
                    name,
                    version["version"].as_str().unwrap_or_default(),
                    resource["resource"].as_str().unwrap_or_default(),
                ));
            }
        }
    }
    let promised = manifests.iter().flat_map(|manifest| {
        manifest.versions.iter().map(move |version| {
            (
                manifest.group.as_str(),
                version.as_str(),
                manifest.plural.as_str(),
            )
        })
    });
    promised
        .filter(|resource| !served.contains(resource))
        .map(|(group, version, plural)| format!("{plural}.{version}.{group}"))
        .collect()
}

async fn ready_tcp(port: u16) -> Result<(), String> {
    let connected = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    connected.map(drop).map_err(|error| error.to_string())
}

/// Whether a plain health endpoint on loopback answers 200.
async fn ready_http(port: u16, path: &str) -> Result<(), String> {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = ask.await.map_err(|error| error.to_string())?;
    let line = answer.lines().next().unwrap_or_default();
    if line.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(format!("it answers `{line}`"))
    }
}

/// Whether a running component says that it is ready; `None` when it has no way to say so.
pub(super) async fn is_ready(testbed: &TestbedInfo, state: &State, component: &str) -> Option<bool> {
    let ask = async {
        match component {
            "hold" | "relay" => None,
            "etcd" => Some(ready_http(state.port("etcd-health"), "/health").await),
            "kube-apiserver" => match client(&testbed.admin_kubeconfig).await {
                Ok(client) => Some(ready_api(&client).await),
                Err(error) => Some(Err(error.to_string())),
            },
            "kube-controller-manager" => Some(ready_tcp(state.port(component)).await),
            manager => Some(ready_http(state.port(manager), "/readyz").await),
        }
    };
    match tokio::time::timeout(PROBE, ask).await {
        Ok(answer) => answer.map(|answer| answer.is_ok()),
        Err(_) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_component_that_ends_ends_the_wait_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::in_state(dir.path());
        processes.create().unwrap();
        fs::write(processes.log("etcd"), "fatal: address already in use\n").unwrap();
        let settings = Settings::new(dir.path().into(), dir.path().into(), "/bin/false".into());
        let mut started = Started::new(&settings, &processes);
        started
            .children
            .push(("etcd", std::process::Command::new("/bin/false").spawn().unwrap()));
        let begun = Instant::now();
        let error = crate::testbed::runtime()
            .unwrap()
            .block_on(started.wait("kube-apiserver", "/readyz", async || Err("refused".into())))
            .unwrap_err();
        assert!(
            begun.elapsed() < settings.timeout,
            "it does not wait for the time to be over"
        );
        assert_eq!(
            error.to_string(),
            "`etcd` ended with exit status: 1 while /readyz of `kube-apiserver` was waited for\n\
             fatal: address already in use"
        );
    }

    #[test]
    fn a_component_that_never_gets_ready_is_named_with_the_last_reason() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::in_state(dir.path());
        let mut settings = Settings::new(dir.path().into(), dir.path().into(), "/bin/false".into());
        settings.timeout = Duration::from_millis(50);
        let mut started = Started::new(&settings, &processes);
        let error = crate::testbed::runtime()
            .unwrap()
            .block_on(started.wait("capi-core", "/readyz", async || Err("connection refused".into())))
            .unwrap_err();
        assert!(
            error.to_string().contains("`capi-core` was not ready after"),
            "{error}"
        );
        assert!(error.to_string().contains("connection refused"), "{error}");
    }

    #[test]
    fn what_a_definition_promises_must_be_discovered() {
        let manifest = Manifest {
            component: "capi-core".into(),
            kind: "CustomResourceDefinition".into(),
            name: "clusters.cluster.x-k8s.io".into(),
            group: "cluster.x-k8s.io".into(),
            versions: vec!["v1beta1".into(), "v1beta2".into()],
            plural: "clusters".into(),
            body: String::new(),
        };
        let discovery = json!({"items": [{
            "metadata": {"name": "cluster.x-k8s.io"},
            "versions": [{"version": "v1beta2", "resources": [{"resource": "clusters"}]}],
        }]});
        assert_eq!(
            undiscovered(&discovery, &[manifest]),
            ["clusters.v1beta1.cluster.x-k8s.io"]
        );
    }

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
