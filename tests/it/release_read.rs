//! Releases are read from a registry and from GitHub, by their real protocols over TLS, and from a directory.

use super::release::{STACK, built, release, stack};
use crate::support::https::{Request, Response, Server};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stack_e2e::release::read::{Access, Client, Place, read};
use stack_e2e::release::{Builder, Files, Mode, ReleaseName};
use stack_e2e::types::Secret;
use std::sync::Arc;

const NAME: &str = "docker-scs-1-34-v2";

/// What a server does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Login,
    Token,
    NoToken,
    Forbidden,
    NoTag,
    MissingLayer,
    WrongDigest,
    WrongManifest,
    Truncated,
    TooLong,
    Title,
    Twice,
    MediaType,
    Down,
    Limit,
    Elsewhere,
    WithoutTls,
}

fn sha(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn media_type(name: &str) -> &'static str {
    match name {
        "metadata.yaml" => "application/vnd.scs.metadata.layer.v1+yaml",
        "hashes.json" => "application/vnd.scs.hashes.layer.v1+yaml",
        "clusteraddon.yaml" => "application/vnd.scs.cluster-addon.config.layer.v1+yaml",
        "node-images.yaml" => "application/vnd.scs.node-image.config.layer.v1+yaml",
        name if name.contains("class") => "application/vnd.scs.cluster-class.v1.tar+gzip",
        _ => "application/vnd.scs.cluster-addon.layer.v1.tar+gzip",
    }
}

/// A registry as the distribution specification describes it, with one repository and one tag.
fn registry(fault: Fault) -> Server {
    registry_of(release().assets, fault)
}

fn registry_of(assets: Files, fault: Fault) -> Server {
    let assets = Arc::new(assets);
    Server::start(move |request: &Request, host| {
        let authorization = request.headers.get("authorization").map(String::as_str);
        if let Some(query) = request.path.strip_prefix("/token") {
            let known = authorization == Some("Basic cm9ib3Q6c2VjcmV0LXBhc3N3b3Jk");
            assert!(
                query.contains("scope=repository%3Akaas%2Fstacks%3Apull") && query.contains("service=reg")
            );
            return match fault {
                Fault::NoToken => Response::ok("{}"),
                _ if known => Response::ok(json!({"token": "let-me-in"}).to_string()),
                _ => {
                    Response::status(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#)
                }
            };
        }
        if let Some(elsewhere) = request.path.strip_prefix("/elsewhere/") {
            return blob(&assets, elsewhere, Fault::None);
        }
        match (fault, authorization) {
            (Fault::Token | Fault::NoToken, authorization) if authorization != Some("Bearer let-me-in") => {
                let challenge = format!(
                    r#"Bearer realm="https://{host}/token",service="reg",scope="repository:kaas/stacks:pull""#
                );
                return Response::status(401, "").with("WWW-Authenticate", challenge);
            }
            (Fault::Login, authorization) if authorization != Some("Basic cm9ib3Q6c2VjcmV0LXBhc3N3b3Jk") => {
                return Response::status(401, "").with("WWW-Authenticate", "Basic realm=\"x\"");
            }
            (Fault::Forbidden, _) => {
                return Response::status(403, r#"{"errors":[{"message":"not for you"}]}"#);
            }
            (Fault::Down, _) => return Response::status(503, ""),
            (Fault::Limit, _) => return Response::status(429, ""),
            _ => {}
        }
        let path = request.path.strip_prefix("/v2/kaas/stacks/").expect("one repository");
        if let Some(tag) = path.strip_prefix("manifests/") {
            if tag != NAME || fault == Fault::NoTag {
                return Response::status(404, r#"{"errors":[{"message":"manifest unknown"}]}"#);
            }
            let body = manifest(&assets, fault);
            let promised = if fault == Fault::WrongManifest { sha(b"") } else { sha(&body) };
            return Response::ok(body).with("Docker-Content-Digest", promised);
        }
        let digest = path.strip_prefix("blobs/").expect("manifests or blobs");
        match fault {
            Fault::Elsewhere => {
                // Another name of the same machine is another host.
                Response::status(307, "").with("Location", format!("https://{host}/elsewhere/{digest}"))
            }
            Fault::WithoutTls => {
                Response::status(307, "").with("Location", format!("http://{host}/{digest}"))
            }
            _ => blob(&assets, digest, fault),
        }
    })
}

fn manifest(assets: &Files, fault: Fault) -> Vec<u8> {
    let mut layers: Vec<_> = assets
        .iter()
        .map(|(name, bytes)| {
            let media_type =
                if fault == Fault::MediaType { "application/octet-stream" } else { media_type(name) };
            let title = if fault == Fault::Title { "../../etc/cron.d/x" } else { name };
            json!({"mediaType": media_type, "digest": sha(bytes), "size": bytes.len(),
                   "annotations": {"org.opencontainers.image.title": title}})
        })
        .collect();
    if fault == Fault::Twice {
        layers.push(layers[0].clone());
    }
    let artifact = if fault == Fault::MediaType { "x" } else { "application/vnd.scs.cluster-stacks.v1" };
    let kubernetes = if fault == Fault::MediaType { "v1.33.1" } else { "v1.34.7" };
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": artifact,
           "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha(b"{}"), "size": 2},
           "layers": layers, "annotations": {"kubernetesVersion": kubernetes, "hash": "abcdefg"}})
    .to_string()
    .into_bytes()
}

fn blob(assets: &Files, digest: &str, fault: Fault) -> Response {
    let bytes = assets.values().find(|bytes| sha(bytes) == digest).expect("a layer of the manifest").clone();
    let mut response = Response::ok(bytes);
    match fault {
        Fault::MissingLayer => return Response::status(404, r#"{"errors":[{"message":"blob unknown"}]}"#),
        Fault::WrongDigest => response.body[0] ^= 1,
        Fault::TooLong => response.body.push(b' '),
        Fault::Truncated => response.cut = Some(3),
        _ => {}
    }
    response
}

fn fetch(place: &str, access: Access) -> Result<stack_e2e::release::read::Found, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (place, _) = Place::parse(place).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::new(access).map_err(|error| error.to_string())?;
    let name: ReleaseName = NAME.parse().unwrap();
    runtime.block_on(read(&place, &name, &client)).map_err(|error| format!("{error:?} {error}"))
}

fn login(server: &Server) -> Access {
    Access {
        registry: Some(server.host()),
        registry_login: Some(("robot".into(), Secret::new("secret-password"))),
        github_token: Some(Secret::new("github-token")),
        ca: Some(server.ca.clone()),
        ..Access::default()
    }
}

#[test]
fn a_release_is_read_from_a_registry() {
    for fault in [Fault::None, Fault::Login, Fault::Token, Fault::Elsewhere] {
        let server = registry(fault);
        let found = fetch(&format!("oci://{}/kaas/stacks", server.host()), login(&server)).unwrap();
        assert_eq!((found.release, found.findings), (release(), vec![]), "{fault:?}");
        let sent = server.sent("/v2/", "authorization");
        assert_eq!(
            sent.iter().any(Option::is_some),
            matches!(fault, Fault::Login | Fault::Token),
            "{fault:?}"
        );
    }
}

#[test]
fn what_a_registry_does_wrong_is_told() {
    for (fault, why) in [
        (Fault::NoToken, "Denied: it gives no token"),
        (Fault::Forbidden, "Denied: not for you (as robot)"),
        (Fault::NoTag, "Missing: manifest unknown"),
        (Fault::MissingLayer, "Missing: blob unknown"),
        (Fault::WrongDigest, "Corrupt: its content has the digest sha256:"),
        (Fault::WrongManifest, "Corrupt: the manifest has the digest sha256:"),
        (Fault::Truncated, "Corrupt: it broke off after 3 bytes"),
        (Fault::TooLong, "Corrupt: it is larger than"),
        (Fault::Title, "Corrupt: has no plain file name"),
        (Fault::Twice, "Corrupt: twice"),
        (Fault::Down, "Unreachable: the server says 503 Service Unavailable, 3 times"),
        (Fault::Limit, "RateLimited: 429"),
        (Fault::WithoutTls, "Unreachable: without TLS"),
    ] {
        let server = registry(fault);
        let error = fetch(&format!("oci://{}/kaas/stacks", server.host()), login(&server)).unwrap_err();
        let (kind, part) = why.split_once(": ").unwrap();
        assert!(error.starts_with(kind) && error.contains(part), "{fault:?}: `{why}` is not in: {error}");
        assert!(!error.contains("secret-password") && !error.contains("let-me-in"), "{error}");
    }
    let server = registry(Fault::MediaType);
    let found = fetch(&format!("oci://{}/kaas/stacks", server.host()), login(&server)).unwrap();
    let rules: Vec<_> = found.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules[0], "oci-artifact-type");
    assert_eq!(rules.last(), Some(&"oci-kubernetes"));
    assert_eq!(rules.iter().filter(|rule| **rule == "oci-media-type").count(), 6);
}

#[test]
fn credentials_go_to_their_registry_only_and_strangers_are_not_trusted() {
    let server = registry(Fault::Token);
    let place = format!("oci://{}/kaas/stacks", server.host());
    let other = Access { registry: Some("registry.example".into()), ..login(&server) };
    let error = fetch(&place, other).unwrap_err();
    assert!(error.contains("those at hand are for registry.example"), "{error}");
    assert!(server.sent("/", "authorization").iter().all(Option::is_none));
    let error = fetch(&place, Access { ca: None, ..login(&server) }).unwrap_err();
    assert!(error.starts_with("Unreachable") && error.contains("certificate"), "{error}");
    let error = fetch(&place, Access { ca: Some("/nonexistent".into()), ..Access::default() }).unwrap_err();
    assert!(error.contains("/nonexistent"), "{error}");
}

/// GitHub's API, as far as releases go.
fn github(fault: Fault) -> Server {
    let assets = Arc::new(release().assets);
    Server::start(move |request: &Request, host| {
        let base = "/repos/scs/cluster-stacks/releases";
        if let Some(number) = request.path.strip_prefix("/storage/") {
            assert!(!request.headers.contains_key("authorization") || host.starts_with("localhost"));
            let at: usize = number.parse().unwrap();
            return blob(&assets, &sha(assets.values().nth(at).unwrap()), fault);
        }
        match fault {
            Fault::Limit => {
                return Response::status(403, r#"{"message":"API rate limit exceeded"}"#)
                    .with("x-ratelimit-remaining", "0")
                    .with("x-ratelimit-reset", "1900000000");
            }
            Fault::Forbidden => return Response::status(401, r#"{"message":"Bad credentials"}"#),
            Fault::Down => return Response::status(502, ""),
            _ => {}
        }
        if request.path == format!("{base}/tags/{NAME}") && fault != Fault::NoTag {
            let list: Vec<_> = assets
                .iter()
                .enumerate()
                .map(|(id, (name, bytes))| {
                    let name = if fault == Fault::Title { "../x" } else { name };
                    json!({"id": id, "name": name, "size": bytes.len(), "state": "uploaded", "digest": sha(bytes)})
                })
                .collect();
            let tag = if fault == Fault::WrongManifest { "other" } else { NAME };
            let list = if fault == Fault::MissingLayer { Vec::new() } else { list };
            return Response::ok(json!({"tag_name": tag, "assets": list}).to_string());
        }
        match request.path.strip_prefix(&format!("{base}/assets/")) {
            Some(id) => Response::status(302, "").with("Location", format!("https://{host}/storage/{id}")),
            None => Response::status(404, r#"{"message":"Not Found"}"#),
        }
    })
}

#[test]
fn a_release_is_read_from_github() {
    let place = "github:scs/cluster-stacks";
    let api =
        |server: &Server| Access { github_api: Some(format!("https://{}", server.host())), ..login(server) };
    let server = github(Fault::None);
    assert_eq!(fetch(place, api(&server)).unwrap().release, release());
    assert_eq!(server.sent("/repos/", "authorization")[0].as_deref(), Some("Bearer github-token"));
    for (fault, why) in [
        (Fault::Limit, "RateLimited: it ends at 2030-03-17T17:46:40Z (asked with a token)"),
        (Fault::Forbidden, "Denied: Bad credentials"),
        (Fault::NoTag, "Missing: a private repository is hidden"),
        (Fault::MissingLayer, "Missing: the release has no files"),
        (Fault::WrongManifest, "Corrupt: it is the release of the tag \"other\""),
        (Fault::WrongDigest, "Corrupt: its content has the digest"),
        (Fault::Truncated, "Corrupt: it broke off"),
        (Fault::Title, "Corrupt: it has a file with the name"),
        (Fault::Down, "Unreachable: 502"),
    ] {
        let server = github(fault);
        let error = fetch(place, api(&server)).unwrap_err();
        let (kind, part) = why.split_once(": ").unwrap();
        assert!(error.starts_with(kind) && error.contains(part), "{fault:?}: `{why}` is not in: {error}");
        assert!(!error.contains("github-token"), "{error}");
    }
}

#[test]
fn a_release_is_read_from_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join(NAME);
    let place = folder.path().display().to_string();
    let error = fetch(&place, Access::default()).unwrap_err();
    assert!(error.starts_with("Unreadable") && error.contains("holds no file"), "{error}");
    std::fs::create_dir(&inside).unwrap();
    for (name, bytes) in &release().assets {
        std::fs::write(inside.join(name), bytes).unwrap();
    }
    for place in [&place, &inside.display().to_string()] {
        assert_eq!(fetch(place, Access::default()).unwrap().release, release());
    }
    std::os::unix::fs::symlink("/etc/passwd", inside.join("x")).unwrap();
    let error = fetch(&place, Access::default()).unwrap_err();
    assert!(error.contains("`x` in it is not a file"), "{error}");
    assert!(fetch("/nonexistent", Access::default()).unwrap_err().starts_with("Unreadable"));
}

const SCENARIO: &str = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: Scenario
metadata: {name: published}
spec:
  stack:
    provider: docker
    name: scs
    source: {release: docker-scs-1-34-v2, from: FROM}
  switches: {kubernetes: [\"1.34\"], controlPlanes: [1]}
  checks: [smoke]
";

/// What `plan` says of the scenario: the status, stdout and stderr.
fn planned(folder: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_stack-e2e"))
        .args(["plan", "--format", "json", "scenario.yaml", "--cache-dir"])
        .arg(folder.join("cache"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_scenario_names_a_release() {
    let Some(helm) = std::env::var_os("STACK_E2E_HELM") else {
        println!("skipped: STACK_E2E_HELM names no Helm to build and render a release with");
        return;
    };
    let source = stack(STACK);
    let version = |text: &str| text.parse().unwrap();
    let mode = Mode::Custom { cluster_stack: version("v2"), cluster_addon: version("v3"), node_image: None };
    let release =
        built(source.path(), mode, &Builder::Own { helm: helm.clone().into() }).await.unwrap().release;
    let server = registry_of(release.assets.clone(), Fault::None);
    let folder = tempfile::tempdir().unwrap();
    let from = format!("oci://{}/kaas/stacks", server.host());
    std::fs::write(folder.path().join("scenario.yaml"), SCENARIO.replace("FROM", &from)).unwrap();
    let helm = format!("helm={}", std::path::Path::new(&helm).display());
    let ca = server.ca.display().to_string();
    let plain = ["--binary", &helm, "--ca", &ca];
    let (status, plan, error) = planned(folder.path(), &plain);
    assert_eq!(status, Some(0), "{error}");
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["runs"][0]["release"]["class"], "docker-scs-1-34-v2", "{plan}");
    // Files of strangers name no machines.
    let rooted = [&plain[..], &["--root", "."]].concat();
    let (status, _, error) = planned(folder.path(), &rooted);
    assert_eq!(status, Some(2), "{error}");
    assert!(error.contains("is on another machine") && error.contains("scenario.yaml:8:"), "{error}");
    let allowed = [&rooted[..], &["--allow-from", "oci://localhost:"]].concat();
    assert_eq!(planned(folder.path(), &allowed).0, Some(0));
    // A release that contradicts its name is tested by nobody.
    let mut wrong = release.assets;
    let metadata = String::from_utf8(wrong["metadata.yaml"].clone()).unwrap().replace("v1.34.7", "v1.33.7");
    wrong.insert("metadata.yaml".into(), metadata.into_bytes());
    let server = registry_of(wrong, Fault::None);
    let from = format!("oci://{}/kaas/stacks", server.host());
    std::fs::write(folder.path().join("scenario.yaml"), SCENARIO.replace("FROM", &from)).unwrap();
    let ca = server.ca.display().to_string();
    let (status, _, error) = planned(folder.path(), &["--binary", &helm, "--ca", &ca]);
    assert_eq!(status, Some(2), "{error}");
    assert!(error.contains("[metadata-kubernetes]") && error.contains("scenario.yaml:8:"), "{error}");
    // One is built from the folder, and tested in its place.
    let own = format!("{{directory: \"{}\", build: own}}", source.path().display());
    let text = SCENARIO.replace("{release: docker-scs-1-34-v2, from: FROM}", &own);
    std::fs::write(folder.path().join("scenario.yaml"), text).unwrap();
    let (status, plan, error) = planned(folder.path(), &plain);
    assert_eq!(status, Some(0), "{error}");
    assert!(plan.contains("docker-scs-1-34-v0-sha."), "{plan}");
}
