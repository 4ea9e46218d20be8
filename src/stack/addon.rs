//! The add-ons of a Cluster Stack: which are applied or deleted at which hook, in which order, and what is waited for.
//! Pure: text of a `clusteraddon.yaml` -> [`AddonPlan`].
//!
//! The format is that of the Cluster Stack Operator (`clusteraddonconfig.x-k8s.io/v1alpha1`). Old stacks have one chart
//! without such a file; the operator applies it at both hooks that it acts on, and so says [`AddonPlan::single`].

use super::parse::{Fault, yaml};
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

/// The name of the only stage of a stack that has one chart for all add-ons: that of its folder.
pub const SINGLE: &str = "cluster-addon";

/// More stages, or objects to wait for, than this are an accident.
const MAX_ITEMS: usize = 200;

/// A moment of a cluster's life at which add-ons change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Hook {
    /// The control plane answers for the first time.
    AfterControlPlaneInitialized,
    /// Before the control plane gets another Kubernetes version, which waits for it.
    BeforeClusterUpgrade,
    /// After the last node has it. The operator knows this hook and does nothing at it.
    AfterClusterUpgrade,
}

impl Hook {
    /// All hooks, in the order of a cluster's life.
    pub const ALL: [Self; 3] =
        [Self::AfterControlPlaneInitialized, Self::BeforeClusterUpgrade, Self::AfterClusterUpgrade];

    /// As `clusteraddon.yaml` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AfterControlPlaneInitialized => "AfterControlPlaneInitialized",
            Self::BeforeClusterUpgrade => "BeforeClusterUpgrade",
            Self::AfterClusterUpgrade => "AfterClusterUpgrade",
        }
    }

    /// Whether the operator carries out the stages of this hook.
    #[must_use]
    pub const fn is_carried_out(self) -> bool {
        !matches!(self, Self::AfterClusterUpgrade)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What happens to the objects of a stage's chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They are created or changed.
    Apply,
    /// They are deleted.
    Delete,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Apply => "apply",
            Self::Delete => "delete",
        })
    }
}

/// Whether the add-ons come in one chart or in stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Style {
    /// There are none.
    #[default]
    None,
    /// One chart for all, with `cluster-addon-values.yaml`.
    Single,
    /// A chart for each stage, with `clusteraddon.yaml`.
    Stages,
}

/// Which add-ons are applied or deleted when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddonPlan {
    /// One chart or stages.
    pub style: Style,
    /// The stages of each hook, in their order: each begins when the one before is done.
    pub hooks: BTreeMap<Hook, Vec<Stage>>,
}

/// One step of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// The folder below `cluster-addon` with its chart; [`SINGLE`] is that folder itself.
    pub name: String,
    /// What happens to the chart's objects.
    pub action: Action,
    /// What must be so before.
    pub before: Option<WaitFor>,
    /// What must be so before the next stage begins.
    pub after: Option<WaitFor>,
    /// The line of the file, from 1; 0 where there is none.
    pub line: u64,
}

/// A condition on objects of the workload cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitFor {
    /// The objects that the expression sees.
    pub objects: Vec<WatchedObject>,
    /// A CEL expression over the keys of `objects`, each bound to the whole object; true ends the wait.
    pub condition: String,
    /// The line of the expression, from 1; 0 where there is none.
    pub line: u64,
}

/// An object that a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchedObject {
    /// Its name in the expression.
    pub key: String,
    /// `apps/v1`
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// The name of the object.
    pub name: String,
    /// Empty for objects without a namespace.
    #[serde(default)]
    pub namespace: String,
}

impl AddonPlan {
    /// What the operator does with a stack that has one chart: it applies it at both hooks that it acts on.
    #[must_use]
    pub fn single() -> Self {
        let stage = Stage { name: SINGLE.into(), action: Action::Apply, before: None, after: None, line: 0 };
        let hooks = [Hook::AfterControlPlaneInitialized, Hook::BeforeClusterUpgrade];
        Self { style: Style::Single, hooks: hooks.map(|hook| (hook, vec![stage.clone()])).into() }
    }

    /// The stages of a hook, in their order.
    #[must_use]
    pub fn at(&self, hook: Hook) -> &[Stage] {
        self.hooks.get(&hook).map_or(&[], Vec::as_slice)
    }

    /// The names of all stages, each once, in the order in which they first come.
    #[must_use]
    pub fn stages(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for stage in self.hooks.values().flatten() {
            if !names.contains(&stage.name.as_str()) {
                names.push(&stage.name);
            }
        }
        names
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: Spanned<String>,
    #[serde(default)]
    addon_stages: BTreeMap<String, Spanned<Option<Vec<Spanned<StageDocument>>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StageDocument {
    name: Spanned<String>,
    action: Spanned<String>,
    wait_for_pre_condition: Option<WaitDocument>,
    wait_for_post_condition: Option<WaitDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitDocument {
    #[serde(default)]
    objects: Vec<Spanned<WatchedObject>>,
    conditions: Spanned<String>,
}

/// Reads a `clusteraddon.yaml`.
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub(super) fn parse(text: &str) -> Result<AddonPlan, Vec<Fault>> {
    let document: Document = yaml(text).map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    let version = &document.api_version;
    if !version.value.starts_with("clusteraddonconfig.x-k8s.io/") {
        let why = format!("the apiVersion is `{}`, not clusteraddonconfig.x-k8s.io/v1alpha1", version.value);
        faults.push(Fault::at(version.referenced, why));
    }
    let mut hooks = BTreeMap::new();
    for (name, stages) in document.addon_stages {
        let Some(hook) = Hook::ALL.into_iter().find(|hook| hook.as_str() == name) else {
            let known = Hook::ALL.map(Hook::as_str).join(", ");
            let why = format!("there is no hook `{name}`, so its stages would never run; there are {known}");
            faults.push(Fault::at(stages.referenced, why));
            continue;
        };
        let stages = stages.value.unwrap_or_default();
        if stages.len() > MAX_ITEMS {
            faults.push(Fault::whole(format!("{hook} has more than {MAX_ITEMS} stages")));
            continue;
        }
        let stages: Vec<Stage> = stages.into_iter().map(|one| stage(one, &mut faults)).collect();
        hooks.insert(hook, stages);
    }
    if hooks.values().all(Vec::is_empty) && faults.is_empty() {
        faults.push(Fault::whole("no hook has a stage, so no add-on is ever applied".into()));
    }
    if faults.is_empty() { Ok(AddonPlan { style: Style::Stages, hooks }) } else { Err(faults) }
}

fn stage(found: Spanned<StageDocument>, faults: &mut Vec<Fault>) -> Stage {
    let line = found.referenced.line();
    let StageDocument { name, action, wait_for_pre_condition, wait_for_post_condition } = found.value;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.is_empty() || !name.value.chars().all(plain) || name.value.starts_with('.') {
        let why = format!("the stage `{}` is not the name of a folder in cluster-addon", name.value);
        faults.push(Fault::at(name.referenced, why));
    }
    let action = match action.value.as_str() {
        "apply" => Action::Apply,
        "delete" => Action::Delete,
        other => {
            let why = format!("the action of stage {} is `{other}`; there are apply and delete", name.value);
            faults.push(Fault::at(action.referenced, why));
            Action::Apply
        }
    };
    let before = wait_for_pre_condition.map(|found| wait_for(found, &name.value, faults));
    let after = wait_for_post_condition.map(|found| wait_for(found, &name.value, faults));
    Stage { name: name.value, action, before, after, line }
}

fn wait_for(found: WaitDocument, stage: &str, faults: &mut Vec<Fault>) -> WaitFor {
    let condition = found.conditions.value.trim().to_owned();
    if condition.is_empty() {
        faults.push(Fault::at(
            found.conditions.referenced,
            format!("stage {stage} waits for an empty condition"),
        ));
    }
    if found.objects.len() > MAX_ITEMS {
        faults.push(Fault::whole(format!("stage {stage} looks at more than {MAX_ITEMS} objects")));
    }
    let mut objects: Vec<WatchedObject> = Vec::new();
    for object in found.objects {
        if objects.iter().any(|other| other.key == object.value.key) {
            let why = format!("stage {stage} has two objects with the key `{}`", object.value.key);
            faults.push(Fault::at(object.referenced, why));
        }
        objects.push(object.value);
    }
    WaitFor { objects, condition, line: found.conditions.referenced.line() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "\
apiVersion: clusteraddonconfig.x-k8s.io/v1alpha1
clusterAddonVersion: clusteraddons.clusterstack.x-k8s.io/v1alpha1
addonStages:
  BeforeClusterUpgrade:
    - name: old
      action: delete
    - name: cni
      action: apply
  AfterControlPlaneInitialized:
    - name: cni
      action: apply
      waitForPostCondition:
        objects:
          - key: agent
            apiVersion: apps/v1
            kind: DaemonSet
            name: cilium
            namespace: kube-system
        conditions: |
          agent.status.numberReady > 0
";

    #[test]
    fn stages_keep_their_order_and_conditions() {
        let plan = parse(PLAN).unwrap();
        assert_eq!(plan.style, Style::Stages);
        assert_eq!(plan.stages(), ["cni", "old"]);
        let cni = &plan.at(Hook::AfterControlPlaneInitialized)[0];
        let wait = cni.after.as_ref().unwrap();
        assert_eq!((cni.action, cni.line, wait.line), (Action::Apply, 10, 20));
        assert_eq!(wait.condition, "agent.status.numberReady > 0");
        assert_eq!(wait.objects[0].kind, "DaemonSet");
        let names: Vec<&str> = plan.at(Hook::BeforeClusterUpgrade).iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["old", "cni"]);
        assert_eq!(plan.at(Hook::AfterClusterUpgrade), []);
    }

    #[test]
    fn one_chart_is_applied_at_both_hooks() {
        let plan = AddonPlan::single();
        assert_eq!(plan.stages(), [SINGLE]);
        assert_eq!(plan.at(Hook::BeforeClusterUpgrade).len(), 1);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        for (from, to, expect) in [
            ("BeforeClusterUpgrade", "BeforeClusterUpgrad", "5: there is no hook `BeforeClusterUpgrad`"),
            ("action: delete", "action: remove", "6: the action of stage old is `remove`"),
            ("name: old", "name: ../old", "5: the stage `../old` is not"),
            ("name: old", "nam: old", "5: unknown field `nam`"),
            ("waitForPostCondition", "waitForPostConditions", "unknown field `waitForPostConditions`"),
            (
                "clusteraddonconfig.x",
                "clusteraddon.x",
                "1: the apiVersion is `clusteraddon.x-k8s.io/v1alpha1`",
            ),
            ("agent.status.numberReady > 0", "", "19: stage cni waits for an empty condition"),
            ("addonStages", "stages", "0: no hook has a stage"),
        ] {
            let found = parse(&PLAN.replacen(from, to, 1)).unwrap_err();
            let told = found.iter().map(|f| format!("{}: {}", f.line, f.why)).collect::<Vec<_>>().join("\n");
            assert!(told.contains(expect), "`{expect}` is not in: {told}");
        }
    }
}
