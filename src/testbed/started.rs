//! The processes of one start, and waiting for them without ever waiting for the dead.

use super::Settings;
use super::api::PROBE;
use super::build::Components;
use super::error::TestbedError;
use super::process::Processes;
use std::ffi::OsString;
use std::process::Child;
use std::time::{Duration, Instant};

/// The children of this start, and waiting for them.
pub(super) struct Started<'a> {
    settings: &'a Settings,
    pub processes: &'a Processes,
    pub children: Vec<(&'static str, Child)>,
}

impl<'a> Started<'a> {
    pub(super) fn new(settings: &'a Settings, processes: &'a Processes) -> Self {
        Self { settings, processes, children: Vec::new() }
    }

    /// Starts a component.
    pub(super) fn launch(
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
        let child =
            self.processes.launch(&self.settings.self_exe, component, program, &arguments, environment)?;
        self.children.push((component, child));
        Ok(())
    }

    /// An error when a child has ended: none of them does so of its own will.
    pub(super) fn check(&mut self, waiting_for: &str) -> Result<(), TestbedError> {
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
    pub(super) async fn wait(
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_component_that_ends_ends_the_wait_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::in_state(dir.path());
        processes.create().unwrap();
        fs::write(processes.log("etcd"), "fatal: address already in use\n").unwrap();
        let settings = Settings::new(dir.path().into(), dir.path().into(), "/bin/false".into());
        let mut started = Started::new(&settings, &processes);
        started.children.push(("etcd", std::process::Command::new("/bin/false").spawn().unwrap()));
        let begun = Instant::now();
        let error = crate::testbed::runtime()
            .unwrap()
            .block_on(started.wait("kube-apiserver", "/readyz", async || Err("refused".into())))
            .unwrap_err();
        assert!(begun.elapsed() < settings.timeout, "it does not wait for the time to be over");
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
        assert!(error.to_string().contains("`capi-core` was not ready after"), "{error}");
        assert!(error.to_string().contains("connection refused"), "{error}");
    }
}
