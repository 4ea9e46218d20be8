//! Shared words as types that know Kubernetes' limits. Pure: no I/O, clock, environment or randomness.

mod cut;
mod duration;
mod id;
mod name;
mod object;
mod owner;
mod redact;
mod target;
mod text;
mod version;

pub use cut::{Gathered, head_and_tail};
pub use duration::{DurationError, parse_duration, show_duration};
pub use id::{CaseId, CombinationId, RunId};
pub use name::{
    CheckName, ClusterName, NameError, Namespace, ProviderKind, ScenarioName, StackName, SwitchName,
    ValueName,
};
pub use object::ObjectRef;
pub use owner::Owner;
pub use redact::{MASK, RedactingWriter, Redactor, Secret};
pub use target::{Release, Target};
pub(crate) use text::{on_one_line, one_line, printable, shorten, wrap};
pub use version::{KubernetesMinor, KubernetesVersion, VersionError};

/// A set of switch values in the order of the scenario file: what makes one combination.
pub type SwitchValues = Vec<(SwitchName, ValueName)>;

/// Label keys on every object that a run creates; `sweep` finds leftovers by these alone.
pub mod label {
    /// Marks an object as created by this harness; the value is always `stack-e2e`.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// The value of [`MANAGED_BY`].
    pub const MANAGED_BY_VALUE: &str = "stack-e2e";
    /// The run that created the object.
    pub const RUN: &str = "e2e.clusterstack.x-k8s.io/run";
    /// The combination that the object belongs to; absent on objects shared by a run.
    pub const COMBINATION: &str = "e2e.clusterstack.x-k8s.io/combination";
    /// The scenario that the object belongs to.
    pub const SCENARIO: &str = "e2e.clusterstack.x-k8s.io/scenario";
    /// Annotation: the process that carries the run out, as [`super::Owner`] writes it.
    pub const OWNER: &str = "e2e.clusterstack.x-k8s.io/owner";
    /// Annotation: Unix seconds after which `sweep` may take the object.
    pub const EXPIRES_AT: &str = "e2e.clusterstack.x-k8s.io/expires-at";
}
