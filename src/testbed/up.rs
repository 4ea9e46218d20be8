//! Starts the testbed: files, namespace, processes, definitions, identities, each as early as what it needs is there.

use super::api::{all_discovered, apply, client, get, installed_groups, ready_api, ready_http, ready_tcp};
use super::arguments::{Arguments, PREFERRED_PORTS};
use super::build::Components;
use super::component::PROVIDERS;
use super::definitions::{self, Definitions};
use super::error::TestbedError;
use super::manifest::Manifest;
use super::pki::{self, Issued, Pki};
use super::process::Processes;
use super::started::Started;
use super::state::{self, State, TestbedInfo};
use super::{Progress, Settings, build, identity, net};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kube::Client;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// What cannot be told to listen on loopback only.
const OPEN_PORTS: &str = "19000, 20000-24000 and those of the webhooks (29441, 29451, 29461, 29471)";

/// How many objects are sent at once.
const AT_ONCE: usize = 8;

/// Starts the testbed, or finds it running. Builds what is missing. On return the calling process, which must have one
/// thread, is in the network namespace of the testbed.
pub fn up(settings: &Settings, progress: &mut dyn FnMut(Progress)) -> Result<TestbedInfo, TestbedError> {
    let extra = match settings.crds.as_slice() {
        [] => Definitions::default(),
        places => definitions::read(places, &settings.crd_versions)?,
    };
    for note in &extra.notes {
        progress(Progress::Warning { text: note.clone() });
    }
    // Building takes minutes, so it comes before the lock; but a testbed that runs needs no building.
    let mut components = None;
    if State::load(&settings.state_dir)?.is_none() {
        components = Some(build::build(settings, progress)?);
    }
    let _lock = state::open(&settings.state_dir, progress)?;
    if let Some(running) = running(settings, progress)? {
        install(settings, &running, extra.manifests, progress)?;
        return Ok(running);
    }
    let components = match components {
        Some(components) => components,
        None => build::build(settings, progress)?,
    };
    start(settings, &components, extra.manifests, progress)
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
            started.wait("kube-apiserver", "/readyz", async || ready_api(&client).await).await
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
            progress(Progress::Crashed { component: component.name, tail });
        }
    }
    super::runtime()?.block_on(state::stop_all(state_dir, progress))?;
    state::clear(state_dir)?;
    Ok(None)
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
        (self.progress)(Progress::Ready { part: part.to_owned(), took });
        self.done.push((part.to_owned(), took));
    }
}

/// Installs definitions in a testbed that runs already.
fn install(
    settings: &Settings,
    testbed: &TestbedInfo,
    extra: Vec<Manifest>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), TestbedError> {
    if extra.is_empty() {
        return Ok(());
    }
    foreign(&build::build(settings, progress)?.manifests()?, &extra)?;
    let processes = Processes::in_state(&settings.state_dir);
    super::runtime()?.block_on(async {
        let client = client(&testbed.admin_kubeconfig).await?;
        apply_all(&client, &extra, "", |_| 0).await?;
        let mut started = Started::new(settings, &processes);
        let discovered = async || all_discovered(&client, &extra).await;
        started.wait("kube-apiserver", "discovery", discovered).await?;
        let groups = installed_groups(&client).await.map_err(|why| TestbedError::Record {
            path: testbed.admin_kubeconfig.clone(),
            why: format!("its API server does not list its definitions: {why}"),
        })?;
        apply_identities(&client, &groups).await
    })
}

/// Refuses definitions that a component of the testbed brings itself.
fn foreign(own: &[Manifest], extra: &[Manifest]) -> Result<(), TestbedError> {
    let clashes = |manifest: &&Manifest| {
        own.iter().any(|other| other.kind == manifest.kind && other.name == manifest.name)
    };
    let problems: Vec<String> = extra
        .iter()
        .filter(clashes)
        .map(|manifest| format!("{} is one of the testbed's own, at another version perhaps", manifest.name))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(TestbedError::Definitions { problems }) }
}

fn start(
    settings: &Settings,
    components: &Components,
    extra: Vec<Manifest>,
    progress: &mut dyn FnMut(Progress),
) -> Result<TestbedInfo, TestbedError> {
    let started = begin(settings, components, extra, progress);
    if let Err(error) = &started {
        super::runtime()?.block_on(state::stop_all(&settings.state_dir, &mut |_| ()))?;
        // Where a component failed, the logs stay for a look; `down` or the next `up` removes them.
        if matches!(
            error,
            TestbedError::OpenPorts { .. } | TestbedError::Interrupted | TestbedError::Definitions { .. }
        ) {
            state::remove(&settings.state_dir)?;
        }
    }

    started
}

fn begin(
    settings: &Settings,
    components: &Components,
    extra: Vec<Manifest>,
    progress: &mut dyn FnMut(Progress),
) -> Result<TestbedInfo, TestbedError> {
    let state_dir = &settings.state_dir;
    let processes = Processes::in_state(state_dir);
    let mut parts = Parts { begun: Instant::now(), done: Vec::new(), progress };
    let mut state = State::default();
    state.save(state_dir)?;
    processes.create()?;
    let mut manifests = components.manifests()?;
    foreign(&manifests, &extra)?;
    manifests.extend(extra);
    let pki = Pki::in_state(state_dir);
    let issued = pki::make(&pki)?;
    parts.ready("certificates", parts.begun);

    let since = Instant::now();
    let mut started = Started::new(settings, &processes);
    // In a namespace the API server has the port of the relay, so that it is the same inside and outside.
    let relayed = namespace(settings, &mut started, &mut parts)?;
    state.namespace = relayed.is_some();
    state.ports.extend(relayed.map(|port| (API_SERVER.to_owned(), port)));
    for (purpose, preferred) in PREFERRED_PORTS {
        if state.ports.contains_key(purpose) {
            continue;
        }
        let taken: Vec<u16> = state.ports.values().copied().collect();
        let port = net::free_port(purpose, preferred, &taken)?;
        state.ports.insert(purpose.to_owned(), port);
    }
    state.save(state_dir)?;
    parts.ready("namespace", since);

    let testbed = TestbedInfo::of(state_dir, &state, &processes.all()?);
    for (path, user, identity) in [
        (&testbed.admin_kubeconfig, "testbed-admin", &issued.admin),
        (&testbed.kubeconfig, pki::HARNESS_USER, &issued.harness),
    ] {
        pki::write_private(path, &pki::kubeconfig(state.port(API_SERVER), &issued.ca, user, identity))?;
    }

    let world = World { components, state: &state, testbed: &testbed, pki: &pki, issued: &issued };
    super::runtime()?.block_on(async {
        let interrupted = interrupted().map_err(TestbedError::Runtime)?;
        tokio::select! {
            done = world.run(&mut started, manifests, &mut parts) => done,
            () = interrupted => Err(TestbedError::Interrupted),
        }
    })?;
    parts.ready("all", parts.begun);
    state.ready = true;
    state.parts = parts.done.iter().map(|(part, took)| (part.clone(), took.as_secs_f64())).collect();
    state.save(state_dir)?;
    Ok(TestbedInfo { started: parts.done, already_running: false, ..testbed })
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

/// The purpose of the API server's port.
const API_SERVER: &str = "kube-apiserver";
/// Where it is looked for first: easy to remember, and clear of the ports that clusters on this machine may have.
const API_SERVER_PORT: u16 = 26443;

/// Makes the network namespace, the way into it, and enters it. Gives the port that leads into it; `None` when there is
/// no namespace, and none is needed.
fn namespace(
    settings: &Settings,
    started: &mut Started<'_>,
    parts: &mut Parts<'_>,
) -> Result<Option<u16>, TestbedError> {
    let why = if settings.host_network {
        "it was not wanted".to_owned()
    } else {
        let mut hold =
            started.processes.launch_self(&settings.self_exe, "hold", &[], Some(Stdio::piped()))?;
        let answer = first_line(&mut hold);
        if answer == "ready" {
            let pid = hold.id().cast_signed();
            started.children.push(("hold", hold));
            let port = API_SERVER_PORT.to_string();
            let arguments = ["--port".to_owned(), port, "--hold".to_owned(), pid.to_string()];
            let arguments = arguments.map(OsString::from);
            let piped = Some(Stdio::piped());
            let mut relay = started.processes.launch_self(&settings.self_exe, "relay", &arguments, piped)?;
            let port = first_line(&mut relay).parse().ok();
            started.children.push(("relay", relay));
            net::enter(&settings.state_dir, pid)?;
            // Without a port the relay has ended, and its log says why: the first wait for a component tells it.
            return Ok(Some(port.unwrap_or(API_SERVER_PORT)));
        }
        let _ = hold.wait();
        if answer.is_empty() { "the helper ended early".to_owned() } else { answer }
    };
    let (reachable, public) = net::reachable_addresses();
    let list = |addresses: &[std::net::IpAddr]| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    if !public.is_empty() && !settings.open_ports {
        return Err(TestbedError::OpenPorts { why, ports: OPEN_PORTS.into(), addresses: list(&public) });
    }
    let audience = if reachable.is_empty() {
        "users of this machine only".to_owned()
    } else {
        format!("everyone who reaches {}", list(&reachable))
    };
    (parts.progress)(Progress::Warning {
        text: format!("there is no network namespace ({why}): ports {OPEN_PORTS} are open to {audience}"),
    });
    Ok(None)
}

/// What a helper says: one line comes, or the end of the pipe when it cannot even say why.
fn first_line(helper: &mut Child) -> String {
    let mut answer = [0; 512];
    let length = match helper.stdout.take() {
        Some(mut said) => said.read(&mut answer).unwrap_or_default(),
        None => 0,
    };
    String::from_utf8_lossy(&answer[..length]).trim().to_owned()
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
        let arguments = Arguments { state: self.state, testbed: self.testbed, pki: self.pki };
        let since = Instant::now();
        started.launch("etcd", self.components, arguments.etcd(), &[])?;
        // It waits for its storage by itself, and has enough to do until then.
        started.launch("kube-apiserver", self.components, arguments.apiserver(), &[])?;
        let health = self.state.port("etcd-health");
        started.wait("etcd", "/health", async || ready_http(health, "/health").await).await?;
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
        let ca = pki::base64(&self.issued.ca);
        let port = |component: &str| self.state.port(&format!("{component}-webhook"));
        apply_all(&client, &manifests, &ca, port).await?;
        parts.ready("definitions sent", since_definitions);
        started
            .wait("kube-apiserver", "discovery", async || all_discovered(&client, &manifests).await)
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
                ("POD_NAMESPACE", namespace.map_or("default", |namespace| &namespace.name)),
                ("POD_NAME", provider.component),
                ("POD_UID", provider.component),
            ];
            started.launch(provider.component, self.components, arguments.manager(provider), &environment)?;
        }
        // Its garbage collector learns of definitions at its start and then rarely, so it comes after them.
        started.launch("kube-controller-manager", self.components, arguments.controller_manager(), &[])?;
        let groups = manifests.iter().map(|manifest| manifest.group.clone());
        let groups = groups.filter(|group| !group.is_empty()).collect();
        apply_identities(&client, &groups).await?;
        started.wait("kube-apiserver", "/readyz", async || ready_api(&client).await).await?;
        parts.ready("kube-apiserver", since);
        for provider in &PROVIDERS {
            let port = self.state.port(provider.component);
            started.wait(provider.component, "/readyz", async || ready_http(port, "/readyz").await).await?;
            parts.ready(provider.component, since_managers);
        }
        let port = self.state.port("kube-controller-manager");
        started.wait("kube-controller-manager", "its port", async || ready_tcp(port).await).await?;
        started.check("the end of the start")
    }
}

/// Sends definitions and what belongs to them; `port` gives the port of a component's webhooks.
async fn apply_all(
    client: &Client,
    manifests: &[Manifest],
    ca: &str,
    port: impl Fn(&str) -> u16,
) -> Result<(), TestbedError> {
    let sent = manifests.iter().map(|manifest| {
        let what = format!("{}/{}", manifest.kind, manifest.name);
        apply(client, manifest.path(), manifest.filled(port(&manifest.component), ca), what)
    });
    stream::iter(sent).buffer_unordered(AT_ONCE).try_collect().await
}

/// Says who the harness is, and that it may use every group that is installed.
async fn apply_identities(client: &Client, groups: &BTreeSet<String>) -> Result<(), TestbedError> {
    let objects = identity::objects(groups).into_iter();
    let sent = objects.map(|(path, object)| {
        let what = path.clone();
        apply(client, path, object.to_string(), what)
    });
    stream::iter(sent).buffer_unordered(AT_ONCE).try_collect().await
}
