//! Folder -> [`StackSource`]s. Reads every layout that stacks have: a folder for each minor (`1-34/`), one folder for all
//! minors with a `versions.yaml`, or for the one minor of its `csctl.yaml`, `stack.yaml` or `metadata.yaml`, and checkouts
//! of a branch for each minor side by side. A whole repository, or its folder `providers`, holds several stacks.

mod discover;
mod minor;

use self::discover::{Candidate, candidates};
use super::model::{At, Layout, MinorSource, StackSource};
use super::parse::Entry;
use super::read::Reader;
use super::{StackError, StackProblem};
use crate::types::{KubernetesMinor, KubernetesVersion, ProviderKind, StackName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The stacks below a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that can be read, in the order of their folders.
    pub stacks: Vec<StackSource>,
    /// Everything that is wrong with the others.
    pub problems: Vec<StackProblem>,
}

/// Reads the only stack of a folder.
///
/// # Errors
/// Every problem of the folder at once; or there is no stack, or more than one.
pub fn load(directory: &Path) -> Result<StackSource, StackError> {
    let Found { mut stacks, mut problems } = discover(directory, None);
    if problems.is_empty() && stacks.len() > 1 {
        problems.push(StackProblem::whole(directory.into(), several(&stacks)));
    }
    match stacks.pop() {
        Some(stack) if problems.is_empty() => Ok(stack),
        _ => Err(StackError::Source { directory: directory.into(), problems }),
    }
}

/// Reads the stack with this name. The folder may hold others, too, and they may be broken; if it holds one only, that
/// is taken, whatever its name. Links may lead anywhere in `root`; without one, in the git work tree.
///
/// # Errors
/// Every problem of the folder at once; or there is no such stack, or it is there twice.
pub fn find(
    directory: &Path,
    root: Option<&Path>,
    provider: ProviderKind,
    name: &StackName,
) -> Result<StackSource, StackError> {
    let Found { stacks, mut problems } = discover(directory, root);
    let (mut wanted, mut others): (Vec<_>, Vec<_>) =
        stacks.into_iter().partition(|s| s.provider == provider && s.name == *name);
    match (wanted.len(), others.len()) {
        (1, _) => return Ok(wanted.remove(0)),
        (0, 1) if problems.is_empty() => return Ok(others.remove(0)),
        (0, 0) => {}
        (0, _) => problems.push(StackProblem::whole(directory.into(), several(&others))),
        _ => problems.push(StackProblem::whole(directory.into(), several(&wanted))),
    }
    Err(StackError::Source { directory: directory.into(), problems })
}

fn several(stacks: &[StackSource]) -> String {
    let one = |s: &StackSource| format!("{}-{} in {}", s.provider, s.name, s.directory.display());
    format!(
        "holds {} stacks, name the folder of one: {}",
        stacks.len(),
        stacks.iter().map(one).collect::<Vec<_>>().join(", ")
    )
}

/// Reads all stacks below a folder. Links may lead anywhere in `root`; without one, in the git work tree, and where there
/// is none, in the folder itself.
#[must_use]
pub fn discover(directory: &Path, root: Option<&Path>) -> Found {
    let mut reader = match Reader::new(directory, root) {
        Ok(reader) => reader,
        Err(problem) => return Found { stacks: Vec::new(), problems: vec![problem] },
    };
    let found = candidates(&mut reader);
    if found.is_empty() && reader.problems.is_empty() {
        let why = "holds no Cluster Stack: there is no csctl.yaml, stack.yaml or metadata.yaml with a folder \
                   cluster-class, neither here nor in folders 1-NN or providers/*/*";
        reader.problem(&reader.directory(), why);
    }
    let mut stacks: Vec<StackSource> = Vec::new();
    let mut branches: BTreeMap<(ProviderKind, String), StackSource> = BTreeMap::new();
    for candidate in found {
        let of_branch = candidate.branch.is_some();
        let before = reader.problems.len();
        let Some(stack) = read(&mut reader, &candidate) else { continue };
        if reader.problems.len() > before {
            continue;
        }
        if !of_branch {
            stacks.push(stack);
            continue;
        }
        let key = (stack.provider, stack.name.to_string());
        match branches.get_mut(&key) {
            Some(first) => first.minors.extend(stack.minors),
            None => {
                branches.insert(key, stack);
            }
        }
    }
    for stack in &mut branches.values_mut() {
        stack.minors.sort_by_key(|m| m.kubernetes);
        twice(&mut reader, stack);
    }
    stacks.extend(branches.into_values());
    Found { stacks, problems: reader.problems }
}

/// What `csctl.yaml` and its like say, checked.
struct Release {
    provider: ProviderKind,
    name: StackName,
    kubernetes: KubernetesVersion,
    declared: At,
    components: Vec<super::model::Component>,
}

fn read(reader: &mut Reader, candidate: &Candidate) -> Option<StackSource> {
    let paths: Vec<PathBuf> = match candidate.folders.as_slice() {
        [] => vec![candidate.base.clone()],
        folders => folders.to_vec(),
    };
    let before = reader.problems.len();
    reader.links(&paths);
    if reader.problems.len() > before {
        return None;
    }
    let (release, mut minors, layout) = match (candidate.folders.as_slice(), candidate.branch) {
        ([], None) => one_folder(reader, &candidate.base)?,
        ([], Some(branch)) => one_branch(reader, &candidate.base, branch)?,
        (folders, _) => folder_per_minor(reader, &candidate.base, folders)?,
    };
    minors.sort_by_key(|m| m.kubernetes);
    let directory = match layout {
        Layout::Branches => reader.shown(&reader.directory()),
        _ => reader.shown(&candidate.base),
    };
    let stack = StackSource { provider: release.provider, name: release.name, directory, layout, minors };
    twice(reader, &stack);
    Some(stack)
}

/// A minor that a stack has twice is a problem: which one would a cluster get?
fn twice(reader: &mut Reader, stack: &StackSource) {
    for pair in stack.minors.windows(2) {
        if pair[0].kubernetes.minor() == pair[1].kubernetes.minor() {
            let why = format!(
                "{}-{} has {} twice: {} and {}",
                stack.provider,
                stack.name,
                pair[0].kubernetes.minor(),
                pair[0].kubernetes,
                pair[1].kubernetes
            );
            reader.problems.push(StackProblem {
                file: pair[1].declared.file.clone(),
                line: pair[1].declared.line,
                column: pair[1].declared.column,
                why,
            });
        }
    }
}

type Read = (Release, Vec<MinorSource>, Layout);

fn one_folder(reader: &mut Reader, folder: &Path) -> Option<Read> {
    let file = folder.join("versions.yaml");
    let release = minor::identity(reader, folder);
    let (entries, layout) = if file.exists() {
        let shown = reader.shown(&file);
        let entries = reader.parse(&file, |text| super::parse::versions(text, &shown));
        (entries.unwrap_or_default(), Layout::Versions)
    } else {
        (release.as_ref().map(pinned).into_iter().collect(), Layout::Single)
    };
    let contents = minor::contents(reader, folder, folder);
    let minors = entries.into_iter().filter_map(|entry| Some(minor::of(contents.as_ref()?, entry)));
    let minors = minors.collect();
    Some((release?, minors, layout))
}

/// The one minor that a checkout of a branch stands for: that of the branch's name, in the version of `versions.yaml` if
/// it has the minor, and else in that of `csctl.yaml`.
fn one_branch(reader: &mut Reader, folder: &Path, branch: KubernetesMinor) -> Option<Read> {
    let (release, minors, _) = one_folder(reader, folder)?;
    let own = minors.into_iter().find(|m| m.kubernetes.minor() == branch);
    let minor = own.or_else(|| {
        let entry = (release.kubernetes.minor() == branch).then(|| pinned(&release))?;
        let contents = minor::contents(reader, folder, folder)?;
        Some(minor::of(&contents, entry))
    });
    if minor.is_none() {
        let why = format!("is in a checkout of a branch for {branch}, but of {}", release.kubernetes);
        reader.problem(folder, why);
    }
    Some((release, vec![minor?], Layout::Branches))
}

fn folder_per_minor(reader: &mut Reader, base: &Path, folders: &[PathBuf]) -> Option<Read> {
    let mut first: Option<Release> = None;
    let mut minors = Vec::new();
    for folder in folders {
        let contents = minor::contents(reader, base, folder);
        let Some(release) = minor::identity(reader, folder) else { continue };
        let dashed = release.kubernetes.minor().dashed();
        if folder.file_name().is_none_or(|name| name.to_string_lossy() != dashed) {
            let why = format!("is of {}, which belongs into a folder {dashed}", release.kubernetes);
            reader.problems.push(declared(&release, why));
        }
        if let Some(first) = &first
            && (first.name != release.name || first.provider != release.provider)
        {
            let (own, theirs) = (name_of(&release), name_of(first));
            reader.problems.push(declared(&release, format!("is of {own}, its neighbour of {theirs}")));
        }
        if let Some(contents) = contents {
            minors.push(minor::of(&contents, pinned(&release)));
        }
        first.get_or_insert(release);
    }
    Some((first?, minors, Layout::FolderPerMinor))
}

fn name_of(release: &Release) -> String {
    format!("{}-{}", release.provider, release.name)
}

fn declared(release: &Release, why: String) -> StackProblem {
    let At { file, line, column } = release.declared.clone();
    StackProblem { file, line, column, why }
}

fn pinned(release: &Release) -> Entry {
    Entry {
        kubernetes: release.kubernetes,
        at: release.declared.clone(),
        components: release.components.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const CSCTL: &str = "apiVersion: csctl.clusterstack.x-k8s.io/v1alpha1\nconfig:\n  clusterStackName: NAME\n  \
                         kubernetesVersion: VERSION\n  provider:\n    type: docker\n";

    fn csctl(name: &str, version: &str) -> String {
        CSCTL.replace("NAME", name).replace("VERSION", version)
    }

    /// A folder with these files; `target <- link` makes a symbolic link.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, content).unwrap(),
            }
        }
        directory
    }

    fn check(files: &[(&str, &str)], expect: Result<&[&str], &str>) {
        let directory = folder(files);
        match (load(directory.path()), expect) {
            (Ok(source), Ok(versions)) => {
                assert_eq!(source.directory, directory.path());
                let found: Vec<String> = source.minors.iter().map(|m| m.kubernetes.to_string()).collect();
                assert_eq!(found, versions);
            }
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "`{part}` is not in: {error}")
            }
            (Ok(source), Err(part)) => panic!("{source:?} instead of `{part}`"),
            (Err(error), Ok(_)) => panic!("{error}"),
        }
    }

    #[test]
    fn both_layouts_load() {
        let chart = ("cluster-class/Chart.yaml", "name: x");
        let one = csctl("scs", "v1.34.7");
        check(&[("csctl.yaml", &one), chart], Ok(&["v1.34.7"]));
        // Versions come in any order, and versions.yaml wins over the one that csctl.yaml pins.
        let versions = (
            "versions.yaml",
            "- kubernetes: 1.34.8\n  occm: 2.34.2\n- kubernetes: 1.9.0\n- kubernetes: 1.33.10\n",
        );
        check(&[("csctl.yaml", &one), chart, versions], Ok(&["v1.9.0", "v1.33.10", "v1.34.8"]));
        let (a, b) = (csctl("scs", "v1.9.1"), csctl("scs", "v1.10.2"));
        let charts =
            [("1-9/cluster-class/Chart.yaml", "name: x"), ("1-10/cluster-class/Chart.yaml", "name: x")];
        check(
            &[("1-9/csctl.yaml", &a), ("1-10/csctl.yaml", &b), charts[0], charts[1]],
            Ok(&["v1.9.1", "v1.10.2"]),
        );
    }

    #[test]
    fn problems_name_the_file() {
        let chart = ("cluster-class/Chart.yaml", "name: x");
        let one = csctl("scs", "v1.34.7");
        check(&[], Err("holds no Cluster Stack: there is no csctl.yaml"));
        check(&[("csctl.yaml", &one)], Err("cluster-class: is not a Helm chart"));
        check(&[("csctl.yaml", &csctl("s-cs", "v1.34.7")), chart], Err("stack name `s-cs`"));
        check(&[("csctl.yaml", &csctl("scs", "v1.34")), chart], Err("`v1.34` is not a Kubernetes version"));
        check(
            &[("csctl.yaml", &one.replace("docker", "hetznr")), chart],
            Err("csctl.yaml:6:11: has the provider `hetznr`; known are embedded"),
        );
        check(&[("csctl.yaml", &one), chart, ("versions.yaml", "[]")], Err("versions.yaml: names no"));
        check(
            &[("csctl.yaml", &one), chart, ("versions.yaml", "- kubernetes: 1.30")],
            Err("versions.yaml:1:15: `1.30` is not"),
        );
        check(
            &[("csctl.yaml", &one), chart, ("versions.yaml", "- kubernetes: 1.30.1\n- kubernetes: 1.30.2")],
            Err("versions.yaml:2:15: docker-scs has 1.30 twice: v1.30.1 and v1.30.2"),
        );
        check(
            &[("1-33/csctl.yaml", &one), ("1-33/cluster-class/Chart.yaml", "name: x")],
            Err("belongs into a folder 1-34"),
        );
        let link = |target| [("csctl.yaml", one.as_str()), chart, ("cluster-class/templates/x", target)];
        check(
            &link("-> /etc/passwd"),
            Err("templates/x: is a link to /etc/passwd, which leads out of the repository"),
        );
        check(&link("-> ../nowhere"), Err("is a link to ../nowhere, which leads nowhere"));
        check(&link("-> ../Chart.yaml"), Ok(&["v1.34.7"]));
    }

    #[test]
    fn every_problem_is_reported() {
        let directory = folder(&[("csctl.yaml", &csctl("a-b", "v1")), ("versions.yaml", "- kubernetes: x")]);
        let Err(StackError::Source { problems, .. }) = load(directory.path()) else { panic!("loads") };
        assert_eq!(problems.len(), 4, "{problems:#?}");
    }

    const PLAN: &str = "apiVersion: clusteraddonconfig.x-k8s.io/v1alpha1\naddonStages:\n  \
                        AfterControlPlaneInitialized:\n  - {name: ccm, action: apply}\n";

    #[test]
    fn add_ons_are_read() {
        let files = [
            ("csctl.yaml", &csctl("scs", "v1.34.7")[..]),
            ("versions.yaml", "- kubernetes: 1.33.1\n  occm: 2.33.1\n- kubernetes: 1.34.7\n  other: 1\n"),
            ("clusteraddon.yaml", PLAN),
            ("cluster-class/Chart.yaml", "name: x\nversion: v3"),
            (
                "cluster-addon/ccm/Chart.yaml",
                "name: ccm\ndependencies:\n- name: openstack-cloud-controller-manager\n  version: 2.32.0\n",
            ),
            ("cluster-addon/ccm/charts/openstack-cloud-controller-manager-2.31.0.tgz", ""),
            ("cluster-addon/ccm/overwrite.yaml", "values: |\n  a: {{ .Cluster.metadata.name }}\n"),
            ("cluster-addon/cni/overwrite.yaml", "values: |\n  not: applied\n"),
        ];
        let directory = folder(&files);
        let source = load(directory.path()).unwrap();
        assert_eq!(source.layout, Layout::Versions);
        let [old, new] = source.minors.as_slice() else { panic!("{source:?}") };
        assert_eq!(old.class.version, "v3");
        let values: Vec<_> =
            old.addon_values.iter().map(|v| (v.file.as_str(), v.template.as_str())).collect();
        assert_eq!(values, [("cluster-addon/ccm/overwrite.yaml", "\n  a: {{ .Cluster.metadata.name }}\n")]);
        let versions = |minor: &MinorSource| minor.addon_versions().into_values().collect::<Vec<_>>();
        assert_eq!((versions(old), versions(new)), (vec!["2.33.1".into()], vec!["2.32.0".to_owned()]));
        assert_eq!(old.components[0].applies_to, ["ccm/openstack-cloud-controller-manager"]);
        assert_eq!(new.components[0].applies_to, Vec::<String>::new());
        assert_eq!(old.addon_charts[0].chart.vendored, ["openstack-cloud-controller-manager-2.31.0.tgz"]);
        let without: Vec<_> = files.into_iter().filter(|(file, _)| *file != "clusteraddon.yaml").collect();
        check(&without, Err("no clusteraddon.yaml says when they are applied"));
        let wrong = PLAN.replace("ccm", "csi");
        let wrong: Vec<_> =
            files.map(|(f, text)| if f == "clusteraddon.yaml" { (f, &wrong[..]) } else { (f, text) }).into();
        check(&wrong, Err("cluster-addon/csi: is not a Helm chart"));
    }

    #[test]
    fn stacks_older_than_csctl_are_read() {
        let metadata =
            "apiVersion: metadata.clusterstack.x-k8s.io/v1alpha1\nversions:\n  kubernetes: v1.27.3\n";
        let chart = ("1-27/cluster-class/Chart.yaml", "name: docker-ferrol-1-27-cluster-class");
        check(&[("1-27/metadata.yaml", metadata), chart], Ok(&["v1.27.3"]));
        let other = ("1-27/cluster-class/Chart.yaml", "name: ferrol");
        check(&[("1-27/metadata.yaml", metadata), other], Err("the chart `ferrol`, which is not"));
    }

    #[test]
    fn stack_yaml_is_read_before_csctl_yaml() {
        let stack =
            "provider: openstack\nclusterStackName: scs\nkubernetesVersion: 1.35.3\naddons: {ccm: 2.35.x}\n";
        let class = ("1-35/cluster-class/Chart.yaml", "name: x");
        // `v1.35` is what these stacks write there, and csctl refuses it.
        let usual = csctl("scs", "v1.35");
        check(&[("1-35/stack.yaml", stack), ("1-35/csctl.yaml", &usual), class], Ok(&["v1.35.3"]));
    }

    #[test]
    fn a_repository_holds_several_stacks() {
        let (a, b) = (csctl("scs", "v1.34.7"), csctl("other", "v1.33.1"));
        let directory = folder(&[
            ("providers/docker/scs/csctl.yaml", &a),
            ("providers/docker/scs/cluster-class/Chart.yaml", "name: x"),
            ("providers/docker/other/1-33/csctl.yaml", &b),
            ("providers/docker/other/1-33/cluster-class/Chart.yaml", "name: x"),
            ("providers/docker/broken/csctl.yaml", "a: b"),
            ("providers/docker/common/cluster-class/Chart.yaml", "name: x"),
            ("providers/docker/out/1-33/cluster-class/Chart.yaml", "name: x"),
        ]);
        let found = discover(directory.path(), None);
        let names: Vec<String> = found.stacks.iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["other", "scs"]);
        assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
        assert!(found.problems[0].to_string().contains("docker/broken/csctl.yaml"));
        let wanted =
            |name: &str| find(directory.path(), None, ProviderKind::Docker, &StackName::new(name).unwrap());
        assert_eq!(wanted("scs").unwrap().minors.len(), 1);
        let error = wanted("nosuch").unwrap_err().to_string();
        assert!(error.contains("holds 2 stacks, name the folder of one: docker-other in"), "{error}");
    }

    #[test]
    fn checkouts_of_branches_are_one_stack() {
        let checkout = |branch: &str, version: &str| {
            let base = format!("{branch}/providers/docker/scs");
            [
                (format!("{base}/csctl.yaml"), csctl("scs", version)),
                (format!("{base}/cluster-class/Chart.yaml"), "name: x".to_owned()),
                (format!("{base}/versions.yaml"), "- kubernetes: 1.33.9\n- kubernetes: 1.34.8\n".to_owned()),
            ]
        };
        let mut files: Vec<_> = checkout("release-1.33", "v1.33.1").into();
        files.extend(checkout("maint/scs-1-34", "v1.34.7"));
        let borrowed = |files: &[(String, String)]| {
            folder(&files.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect::<Vec<_>>())
        };
        let directory = borrowed(&files);
        let source = load(directory.path()).unwrap();
        assert_eq!((source.layout, source.directory.as_path()), (Layout::Branches, directory.path()));
        let versions: Vec<String> = source.minors.iter().map(|m| m.kubernetes.to_string()).collect();
        assert_eq!(versions, ["v1.33.9", "v1.34.8"]);
        let folders: Vec<bool> =
            source.minors.iter().map(|m| m.folder.to_string_lossy().contains("release-1.33")).collect();
        assert_eq!(folders, [true, false]);
        files.extend(checkout("scs-1-34", "v1.34.7"));
        let error = load(borrowed(&files).path()).unwrap_err().to_string();
        assert!(error.contains("docker-scs has 1.34 twice"), "{error}");
        let error = load(borrowed(&checkout("release-1.30", "v1.31.1")).path()).unwrap_err().to_string();
        assert!(error.contains("is in a checkout of a branch for 1.30, but of v1.31.1"), "{error}");
    }

    #[test]
    fn common_folders_are_followed_and_searched() {
        let one = csctl("scs", "v1.34.7");
        let common = ("common/cluster-class/Chart.yaml", "name: x");
        let minor = [("1-34/csctl.yaml", one.as_str()), ("1-34/cluster-class", "-> ../common/cluster-class")];
        check(&[minor[0], minor[1], common], Ok(&["v1.34.7"]));
        let hidden = ("common/cluster-class/templates/x.yaml", "-> /etc/hostname");
        check(&[minor[0], minor[1], common, hidden], Err("templates/x.yaml: is a link to /etc/hostname"));
        // A link to a folder above itself ends.
        check(&[minor[0], minor[1], common, ("common/cluster-class/up", "-> ..")], Ok(&["v1.34.7"]));
    }
}
