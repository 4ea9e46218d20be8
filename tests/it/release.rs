//! Releases: what contradicts their names, and archives of strangers. With `STACK_E2E_HELM=/path/to/helm` releases are
//! also built.

use stack_e2e::release::{self, Builder, Files, Hashes, Mode, Release, archive, check};
use std::path::Path;

const NAME: &str = "docker-scs-1-34-v2";

fn file(path: &str, text: &str) -> (String, Vec<u8>) {
    (path.to_owned(), text.as_bytes().to_vec())
}

fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let files: Files = files.iter().map(|(path, text)| file(path, text)).collect();
    archive::write(&files, true).unwrap()
}

fn class_chart(name: &str, version: &str) -> Vec<u8> {
    let path = format!("{name}/Chart.yaml");
    packed(&[
        (&path, &format!("apiVersion: v2\nname: {name}\nversion: {version}\n")),
        (&format!("{name}/a"), "b"),
    ])
}

/// A release that agrees with its name.
pub fn release() -> Release {
    let addon =
        [("cni/Chart.yaml", "name: cni"), ("ccm/Chart.yaml", "name: ccm"), ("ccm/values.yaml", "a: b")];
    let inside: Files =
        addon.iter().map(|(path, text)| file(&format!("cluster-addon/{path}"), text)).collect();
    let assets = [
        file(
            "metadata.yaml",
            "apiVersion: metadata.clusterstack.x-k8s.io/v1alpha1\nversions:\n    clusterStack: v2\n    \
             kubernetes: v1.34.7\n    components:\n        clusterAddon: v3\n        nodeImage: v1\n",
        ),
        file("hashes.json", &Hashes::of(&inside).unwrap().to_json()),
        file(
            "clusteraddon.yaml",
            "addonStages:\n  AfterControlPlaneInitialized:\n  - {name: cni, action: apply}\n  - {name: ccm}\n",
        ),
        file(
            "node-images.yaml",
            "openStackNodeImages:\n- url: https://x/ubuntu-kube-v1.34/kube-v1.34.7.qcow2\n",
        ),
        (
            "docker-scs-1-34-cluster-class-v2.tgz".to_owned(),
            class_chart("docker-scs-1-34-cluster-class", "v2"),
        ),
        ("docker-scs-1-34-cluster-addon-v3.tgz".to_owned(), packed(&addon)),
    ];
    Release { name: NAME.parse().unwrap(), assets: assets.into() }
}

#[test]
fn what_contradicts_the_name_of_a_release_is_found() {
    assert_eq!(check(&release()), []);
    let replace = |asset: &str, from: &str, to: &str| {
        let mut release = release();
        let text = String::from_utf8(release.assets[asset].clone()).unwrap();
        assert!(text.contains(from), "{asset} has no {from}");
        release.assets.insert(asset.into(), text.replace(from, to).into_bytes());
        release
    };
    let without = |asset: &str| {
        let mut release = release();
        release.assets.remove(asset).unwrap();
        release
    };
    let with = |asset: &str, bytes: Vec<u8>| {
        let mut release = release();
        release.assets.insert(asset.into(), bytes);
        release
    };
    let called = |name: &str| Release { name: name.parse().unwrap(), ..release() };
    let class = "docker-scs-1-34-cluster-class-v2.tgz";
    let addon = "docker-scs-1-34-cluster-addon-v3.tgz";
    let renamed = {
        let mut release = without(class);
        // As it happened: a release of 1.34 with the chart of 1.33.
        let chart = class_chart("docker-scs-1-33-cluster-class", "v2");
        release.assets.insert("docker-scs-1-33-cluster-class-v2.tgz".into(), chart);
        release
    };
    let sha = {
        let mut release = called("docker-scs-1-34-v0-sha-abcdefg");
        let chart = class_chart("docker-scs-1-34-cluster-class", "v0-sha.abcdefg");
        release.assets.remove(class);
        release.assets.insert("docker-scs-1-34-cluster-class-v0-sha.abcdefg.tgz".into(), chart);
        release
    };
    let mut wrong = Vec::new();
    for (release, rules, why) in [
        (without("metadata.yaml"), &["metadata"][..], "is not there"),
        (replace("metadata.yaml", "v1.34.7", "v1.34"), &["metadata"], "`v1.34` is not a Kubernetes version"),
        (replace("metadata.yaml", "Stack: v2", "Stack: v1"), &["metadata-version"], "says version v1"),
        (
            replace("metadata.yaml", "v1.34.7", "v1.33.7"),
            &["metadata-kubernetes", "node-image"],
            "says Kubernetes v1.33.7",
        ),
        (replace("metadata.yaml", "Addon: v3", "Addon: v4"), &["archive-name"], "cluster-addon-v4.tgz"),
        (without(class), &["archive-missing"], "is not there"),
        (renamed, &["archive-name"], "should be called docker-scs-1-34-cluster-class-v2.tgz"),
        (
            with(class, class_chart("docker-scs-1-33-cluster-class", "v2")),
            &["chart-name", "chart-name"],
            "holds docker-scs-1-33-cluster-class",
        ),
        (
            with(class, class_chart("docker-scs-1-34-cluster-class", "v1")),
            &["chart-version"],
            "is of version v1, not v2",
        ),
        (with(class, packed(&[("docker-scs-1-34-cluster-class/a", "b")])), &["chart"], "has no Chart.yaml"),
        (with(class, b"junk".to_vec()), &["archive"], "no archive of tar in gzip"),
        (
            without("clusteraddon.yaml"),
            &["addon-config", "chart-name", "chart-name", "chart-version", "chart-name", "chart-version"],
            "is not there, and no cluster-addon-values.yaml",
        ),
        (with("cluster-addon-values.yaml", Vec::new()), &["addon-config"], "beside clusteraddon.yaml"),
        (
            replace("clusteraddon.yaml", "name: ccm", "name: csi"),
            &["addon-stage", "addon-stage"],
            "names the stage `csi`",
        ),
        (replace("clusteraddon.yaml", "name: ccm", "name: cni"), &["addon-stage"], "never applied"),
        (
            replace("clusteraddon.yaml", "addonStages", "stages"),
            &["addon-config", "addon-stage", "addon-stage"],
            "names no stage",
        ),
        (replace("clusteraddon.yaml", "- {name: cni", "- {name: ["), &["addon-config"], ""),
        (without("hashes.json"), &["hashes"], "csctl cannot make the release that follows"),
        (with("hashes.json", b"junk".to_vec()), &["hashes"], ""),
        (sha, &["metadata-version", "hashes-version"], "says version v2"),
        (
            with(addon, packed(&[("cni/Chart.yaml", "x"), ("ccm/Chart.yaml", "y")])),
            &["hashes-addons"],
            "they are others",
        ),
        (replace("node-images.yaml", "v1.34.7", "v1.34.6"), &["node-image"], "names an image of v1.34.6"),
        (with("README.md", Vec::new()), &["unknown-asset"], "belongs to no release"),
        (
            called("openstack-scs-1-34-v2"),
            &["archive-name", "archive-name"],
            "openstack-scs-1-34-cluster-class-v2.tgz",
        ),
    ] {
        let findings = check(&release);
        let found: Vec<&str> = findings.iter().map(|finding| finding.rule).collect();
        if found != rules || !findings.first().is_some_and(|finding| finding.why.contains(why)) {
            wrong.push(format!("{rules:?} with `{why}`, but {findings:#?}"));
        }
        assert!(findings.iter().all(|finding| !finding.hint.is_empty() && !finding.file.is_empty()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An archive with one entry of any kind and name, as no honest program writes it.
fn hostile(path: &[u8], kind: tar::EntryType, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    gzip(&bytes)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn archives_of_strangers_are_bounded_and_stay_inside() {
    use tar::EntryType;
    let file = EntryType::Regular;
    assert_eq!(archive::read(&hostile(b"a/b", file, 1, b"x")).unwrap()["a/b"], b"x");
    assert_eq!(archive::read(&hostile(b"./a", file, 1, b"x")).unwrap()["a"], b"x");
    let good = packed(&[("a", "b"), ("c/d", "e")]);
    let twice = {
        let mut archive = tar::Builder::new(Vec::new());
        for _ in 0..2 {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            archive.append_data(&mut header, "a", std::io::empty()).unwrap();
        }
        gzip(&archive.into_inner().unwrap())
    };
    let many = {
        let mut archive = tar::Builder::new(Vec::new());
        for n in 0..20_001 {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            archive.append_data(&mut header, n.to_string(), std::io::empty()).unwrap();
        }
        gzip(&archive.into_inner().unwrap())
    };
    let mut damaged = good.clone();
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    for (bytes, why) in [
        (hostile(b"../a", file, 0, b""), "leads out of it"),
        (hostile(b"a/../../b", file, 0, b""), "leads out of it"),
        (hostile(b"/etc/passwd", file, 0, b""), "leads out of it"),
        (hostile(b"a\x01b", file, 0, b""), "with signs that no file"),
        (hostile(b"a\\b", file, 0, b""), "with signs that no file"),
        (hostile(b"a\xff", file, 0, b""), "no UTF-8"),
        (hostile(b"a//b", file, 0, b""), "with empty parts"),
        (hostile(b"a", EntryType::Symlink, 0, b""), "neither a file nor a folder"),
        (hostile(b"a", EntryType::Link, 0, b""), "neither a file nor a folder"),
        (hostile(b"a", EntryType::Char, 0, b""), "neither a file nor a folder"),
        (hostile(b"a", EntryType::Fifo, 0, b""), "neither a file nor a folder"),
        (hostile(b"a", file, 300 << 20, b""), "more than 256 MiB"),
        (hostile(b"a", file, u64::MAX >> 1, b""), ""),
        (hostile(b"a", file, 5000, b"x"), "not all of it"),
        (gzip(&vec![0; 300 << 20]), "more than 256 MiB"),
        (twice, "is there twice"),
        (many, "more than 20000 files"),
        (good[..good.len() / 2].to_vec(), "not all of it"),
        (good[..good.len() - 4].to_vec(), "not all of it"),
        (damaged, "not all of it"),
        (gzip(b""), "there is no file in it"),
        (Vec::new(), "not all of it"),
    ] {
        let error = archive::read(&bytes).unwrap_err().to_string();
        assert!(error.contains(why), "`{why}` is not in: {error}");
    }
}

#[test]
fn an_archive_is_the_same_each_time() {
    let long = format!("{}/{}", "folder".repeat(20), "name".repeat(20));
    let files: Files = [file("b", "1"), file("a/c", "2"), file(&long, "3")].into();
    let bytes = archive::write(&files, true).unwrap();
    assert_eq!(bytes, archive::write(&files, true).unwrap());
    assert_eq!(archive::read(&bytes).unwrap(), files);
    assert_eq!(&bytes[4..8], [0; 4], "the time of gzip is set");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
        assert_eq!(owner, (0, 0, 315_532_800));
        assert_eq!(header.username().unwrap(), Some(""));
        names.push(entry.path().unwrap().display().to_string());
    }
    let folder = format!("{}/", "folder".repeat(20));
    assert_eq!(names, ["a/", "a/c", "b", &*folder, &*long]);
}

/// The files of a stack in the layout of today.
pub const STACK: &[(&str, &str)] = &[
    (
        "csctl.yaml",
        "apiVersion: csctl.clusterstack.x-k8s.io/v1alpha1\nconfig:\n  clusterStackName: scs\n  kubernetesVersion: v1.34.7\n  \
         provider:\n    type: docker\n",
    ),
    ("README.md", "text"),
    (
        "cluster-class/Chart.yaml",
        "apiVersion: v2\nname: docker-scs-1-34-cluster-class\ntype: application\nversion: << .ClusterClassVersion >>\n",
    ),
    ("cluster-class/values.yaml", "a: b\n"),
    ("cluster-class/.helmignore", "*.orig\n"),
    ("cluster-class/templates/a.yaml.orig", "left out"),
    (
        "cluster-class/templates/cluster-class.yaml",
        "apiVersion: cluster.x-k8s.io/v1beta1\nkind: ClusterClass\nmetadata:\n  \
         name: {{ .Release.Name }}-{{ .Chart.Version }}\nspec:\n  workers:\n    machineDeployments:\n    - class: w\n",
    ),
    ("cluster-addon/cni/Chart.yaml", "apiVersion: v2\nname: cni\nversion: v1\n"),
    ("cluster-addon/cni/templates/a.yaml", "a: {{ .Values.b }}\n"),
    (
        "clusteraddon.yaml",
        "apiVersion: clusteraddonconfig.x-k8s.io/v1alpha1\nclusterAddonVersion: clusteraddons.clusterstack.x-k8s.io/v1alpha1\naddonStages:\n  AfterControlPlaneInitialized:\n  - {name: cni, action: apply}\n",
    ),
];

pub fn stack(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => std::fs::write(path, text).unwrap(),
        }
    }
    folder
}

/// The stack, with some files in place of its own.
fn changed<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut files = STACK.to_vec();
    files.retain(|(path, _)| changes.iter().all(|(changed, _)| changed != path));
    files.extend(changes.iter().filter(|(_, text)| *text != "gone"));
    files
}

pub async fn built(folder: &Path, mode: Mode, builder: &Builder) -> Result<release::Built, String> {
    let folder = release::open(folder, None).map_err(|error| error.to_string())?;
    let versioned =
        release::versions(&folder.config, &folder.files, mode).map_err(|error| error.to_string())?;
    release::build(&folder, versioned, builder).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_release_is_built_the_same_each_time() {
    let Some(helm) = std::env::var_os("STACK_E2E_HELM") else {
        println!("skipped: STACK_E2E_HELM names no Helm to pack charts with");
        return;
    };
    let builder = Builder::Own { helm: helm.clone().into() };
    let first = stack(STACK);
    let one = built(first.path(), Mode::Hash, &builder).await.unwrap();
    assert_eq!((check(&one.release), one.notes), (vec![], vec![]));
    let names: Vec<&str> = one.release.assets.keys().map(String::as_str).collect();
    let hash = "v0-sha.rwvgrna".replace("rwvgrna", one.release.name.version.patch_of("sha").unwrap());
    let class = format!("docker-scs-1-34-cluster-class-{hash}.tgz");
    let addon = format!("docker-scs-1-34-cluster-addon-{hash}.tgz");
    assert_eq!(names, ["clusteraddon.yaml", &*addon, &*class, "hashes.json", "metadata.yaml"]);
    let inside = archive::read(&one.release.assets[&class]).unwrap();
    assert!(!inside.keys().any(|path| path.ends_with(".orig")), "what .helmignore names is in");
    // Another folder, later.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let second = stack(STACK);
    assert_eq!(built(second.path(), Mode::Hash, &builder).await.unwrap().release, one.release);
    let scratch = tempfile::tempdir().unwrap();
    let rendered = release::rendered(&one.release, scratch.path(), Path::new(&helm)).await.unwrap();
    assert_eq!(rendered.releases[0].class, format!("docker-scs-1-34-{hash}"));

    let stable = built(first.path(), Mode::Stable { previous: None }, &builder).await.unwrap().release;
    assert_eq!(stable.name.dashed(), "docker-scs-1-34-v1");
    let next = || Mode::Stable { previous: Some(Box::new(stable.clone())) };
    for (changes, expect, note) in [
        (changed(&[]), Err("nothing has changed since docker-scs-1-34-v1"), ""),
        (changed(&[("README.md", "other")]), Err("but for files that no asset is made from"), ""),
        (
            changed(&[("cluster-class/values.yaml", "a: c")]),
            Ok("v1"),
            "only the cluster class changed; csctl",
        ),
        (changed(&[("cluster-addon/cni/templates/a.yaml", "a: c")]), Ok("v2"), ""),
    ] {
        let folder = stack(&changes);
        match (built(folder.path(), next(), &builder).await, expect) {
            (Ok(found), Ok(addon)) => {
                assert_eq!(found.release.name.dashed(), "docker-scs-1-34-v2");
                assert!(
                    found.release.assets.contains_key(&format!("docker-scs-1-34-cluster-addon-{addon}.tgz"))
                );
                assert_eq!(found.notes.is_empty(), note.is_empty(), "{:?}", found.notes);
                assert!(found.notes.iter().all(|found| found.contains(note)), "{:?}", found.notes);
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "`{part}` is not in: {error}"),
            (found, expect) => panic!("{found:?} instead of {expect:?}"),
        }
    }
}

#[tokio::test]
async fn a_stack_that_gives_no_release_is_refused() {
    let builder = Builder::Own { helm: "/nonexistent/helm".into() };
    let own = "apiVersion: v1\nconfig: {clusterStackName: NAME, kubernetesVersion: VERSION, provider: {type: openstack, \
               config: {method: METHOD}}}\n";
    let csctl = |name: &str, version: &str, method: &str| {
        own.replace("NAME", name).replace("VERSION", version).replace("METHOD", method)
    };
    let (dash, short) = (csctl("hosted-control-plane", "v1.34.7", "get"), csctl("scs", "v1.34", "get"));
    for (changes, why) in [
        (changed(&[("csctl.yaml", "gone")]), "csctl.yaml: is not there"),
        (changed(&[("csctl.yaml", "a: [")]), "csctl.yaml: "),
        (
            changed(&[("csctl.yaml", &dash)]),
            "`hosted-control-plane`; it may have lower-case letters and digits only",
        ),
        (changed(&[("csctl.yaml", &short)]), "`v1.34`; csctl wants major, minor and patch"),
        (
            changed(&[("cluster-class/templates/x.yaml", "a\ncat << EOF\n")]),
            "x.yaml:2: `<< ` has no ` >>` after it",
        ),
        (changed(&[("link", "-> /etc/passwd")]), "is a link that leads out of the repository"),
        (changed(&[("link", "-> nowhere")]), "is a link that leads nowhere"),
        (changed(&[("cluster-class/link", "-> ..")]), "deep; do links lead in a ring?"),
        (changed(&[]), "helm cannot build the release"),
    ] {
        let folder = stack(&changes);
        let error = built(folder.path(), Mode::Hash, &builder).await.unwrap_err();
        assert!(error.contains(why), "`{why}` is not in: {error}");
    }
    let folder = stack(STACK);
    let minor = |text: &str| Some(text.parse().unwrap());
    assert!(release::open(folder.path(), minor("1.34")).is_ok());
    let error = release::open(folder.path(), minor("1.33")).unwrap_err().to_string();
    assert!(error.contains("is of v1.34.7, not of 1.33"), "{error}");
}

#[tokio::test]
async fn a_chart_of_another_minor_makes_no_release() {
    let Some(helm) = std::env::var_os("STACK_E2E_HELM") else {
        println!("skipped: STACK_E2E_HELM names no Helm to pack charts with");
        return;
    };
    let builder = Builder::Own { helm: helm.into() };
    let openstack = |method: &str| {
        STACK[0].1.replace("docker", "openstack").replace(
            "    type: openstack\n",
            &format!("    type: openstack\n    config: {{method: {method}}}\n"),
        )
    };
    let (get, build) = (openstack("get"), openstack("build"));
    let chart = "apiVersion: v2\nname: docker-scs-1-33-cluster-class\nversion: v1\n";
    let cloud = "apiVersion: v2\nname: openstack-scs-1-34-cluster-class\nversion: v1\n";
    let images = ("node-images/config.yaml", "openStackNodeImages: []\n");
    for (changes, expect) in [
        (
            changed(&[("cluster-class/Chart.yaml", chart)]),
            Err("has to be called docker-scs-1-34-cluster-class"),
        ),
        (changed(&[("cluster-class/Chart.yaml", "x")]), Err("helm cannot build the release")),
        (changed(&[("clusteraddon.yaml", "gone")]), Err("cluster-addon-values.yaml: is not there")),
        (
            changed(&[("csctl.yaml", &get), ("cluster-class/Chart.yaml", cloud)]),
            Err("there is no node-images/config.yaml"),
        ),
        (
            changed(&[("csctl.yaml", &build), ("cluster-class/Chart.yaml", cloud), images]),
            Err("wants node images to be built"),
        ),
        (
            changed(&[("csctl.yaml", &get), ("cluster-class/Chart.yaml", cloud), images]),
            Ok("node-images.yaml"),
        ),
    ] {
        let folder = stack(&changes);
        match (built(folder.path(), Mode::Hash, &builder).await, expect) {
            (Ok(found), Ok(asset)) => assert!(found.release.assets.contains_key(asset)),
            (Err(error), Err(part)) => assert!(error.contains(part), "`{part}` is not in: {error}"),
            (found, expect) => panic!("{found:?} instead of {expect:?}"),
        }
    }
}
