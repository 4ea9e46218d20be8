//! A scripted OpenStack on loopback with small pages, and a proxy's worth of faults in front of it.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request instead of, or on top of, its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this status; nothing is done.
    Status(u16),
    /// 429 with `Retry-After` of so many seconds.
    Busy(u64),
    /// Done, and answered with 504.
    DoneBut504,
    /// Closed before an answer.
    Reset,
    /// Never answered.
    HalfOpen,
    /// One byte a second.
    Slow,
    /// The body ends in the middle.
    Cut,
    /// The body ends in the middle, and its length says that this is all of it.
    ShortJson,
    /// 200 with a page of a proxy.
    Html,
    /// 200 with a body of another shape.
    OtherShape,
}

/// A fault of requests whose line contains `matching`: after `skip` of them, for `times` of them.
#[derive(Debug, Clone)]
pub struct Rule {
    pub matching: &'static str,
    pub skip: usize,
    pub times: usize,
    pub fault: Fault,
}

#[derive(Default)]
pub struct World {
    /// By collection: id -> object.
    pub things: BTreeMap<&'static str, BTreeMap<String, Value>>,
    pub rules: Vec<Rule>,
    /// Every request line, in order.
    pub log: Vec<String>,
    /// The token that is good now.
    pub token: usize,
    /// Added to the time of Keystone.
    pub skew: i64,
    /// How many seconds a token lives.
    pub life: i64,
    /// What the quotas allow of everything but what has a limit of its own here.
    pub quota: u64,
}

#[derive(Clone)]
pub struct Cloud {
    pub address: SocketAddr,
    pub world: Arc<Mutex<World>>,
}

const PAGE: usize = 2;
const PROJECT: &str = "0000feed";
/// Path of the listing, its collection, the key of one, how pages are linked.
const KINDS: &[(&str, &str, &str)] = &[
    ("/compute/v2.1/servers", "servers", "server"),
    ("/compute/v2.1/os-server-groups", "server_groups", "server_group"),
    ("/compute/v2.1/os-keypairs", "keypairs", "keypair"),
    ("/compute/v2.1/flavors", "flavors", "flavor"),
    ("/volume/v3/0000feed/volumes", "volumes", "volume"),
    ("/volume/v3/0000feed/snapshots", "snapshots", "snapshot"),
    ("/network/v2.0/ports", "ports", "port"),
    ("/network/v2.0/networks", "networks", "network"),
    ("/network/v2.0/subnets", "subnets", "subnet"),
    ("/network/v2.0/routers", "routers", "router"),
    ("/network/v2.0/floatingips", "floatingips", "floatingip"),
    ("/network/v2.0/security-groups", "security_groups", "security_group"),
    ("/lb/v2/lbaas/loadbalancers", "loadbalancers", "loadbalancer"),
    ("/lb/v2/lbaas/providers", "providers", "provider"),
    ("/image/v2/images", "images", "image"),
];

impl Cloud {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let things = KINDS.iter().map(|(_, collection, _)| (*collection, BTreeMap::new())).collect();
        let cloud = Self {
            address,
            world: Arc::new(Mutex::new(World { things, life: 3600, quota: 10, ..World::default() })),
        };
        cloud.put("security_groups", "default", json!({"name": "default"}));
        let serving = cloud.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        cloud
    }

    pub fn put(&self, collection: &'static str, id: &str, mut thing: Value) {
        thing["id"] = json!(id);
        self.world.lock().unwrap().things.get_mut(collection).unwrap().insert(id.to_owned(), thing);
    }

    pub fn fault(&self, matching: &'static str, skip: usize, times: usize, fault: Fault) {
        self.world.lock().unwrap().rules.push(Rule { matching, skip, times, fault });
    }

    pub fn asked(&self, matching: &str) -> usize {
        self.world.lock().unwrap().log.iter().filter(|line| line.contains(matching)).count()
    }

    pub fn clouds_yaml(&self) -> String {
        format!(
            "clouds:\n  test:\n    auth_type: v3applicationcredential\n    region_name: R\n    auth:\n      auth_url: http://{}/identity\n      application_credential_id: cred\n      application_credential_secret: canary-sesame-open\n",
            self.address
        )
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            let mut byte = [0; 1];
            if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.to_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap())
            })
            .unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let line = head.lines().next().unwrap().to_owned();
        let fault = {
            let mut world = self.world.lock().unwrap();
            world.log.push(line.clone());
            let rule = world.rules.iter_mut().find(|rule| line.contains(rule.matching));
            rule.and_then(|rule| {
                if rule.skip > 0 {
                    rule.skip -= 1;
                    return None;
                }
                rule.times = rule.times.checked_sub(1)?;
                Some(rule.fault)
            })
        };
        let mut more = String::new();
        let (status, mut answer) = match fault {
            Some(Fault::Status(status)) => {
                (status, json!({"error": {"message": format!("scripted {status}")}}).to_string())
            }
            Some(Fault::Busy(seconds)) => {
                more = format!("Retry-After: {seconds}\r\n");
                (429, String::new())
            }
            Some(Fault::Reset) => return,
            Some(Fault::HalfOpen) => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return;
            }
            Some(Fault::Html) => (200, "<html>Please log in</html>".into()),
            Some(Fault::OtherShape) => (200, json!({"surprise": []}).to_string()),
            Some(Fault::DoneBut504) => {
                self.answer(&line, &head, &mut more);
                (504, String::new())
            }
            Some(Fault::Slow | Fault::Cut | Fault::ShortJson) | None => self.answer(&line, &head, &mut more),
        };
        let whole = answer.len();
        if fault == Some(Fault::ShortJson) {
            answer.truncate(whole / 2);
        }
        let length = if fault == Some(Fault::ShortJson) { answer.len() } else { whole };
        let head = format!(
            "HTTP/1.1 {status} scripted\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n"
        );
        if fault == Some(Fault::Cut) {
            answer.truncate(whole / 2);
        }
        let _ = stream.write_all(head.as_bytes()).await;
        if fault == Some(Fault::Slow) {
            for byte in answer.bytes() {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                let _ = stream.flush().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    fn answer(&self, line: &str, head: &str, more: &mut String) -> (u16, String) {
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut world = self.world.lock().unwrap();
        let host = self.address;
        if path == "/identity/v3/auth/tokens" {
            world.token += 1;
            *more = format!("X-Subject-Token: token-canary-{}\r\n", world.token);
            let now = jiff::Timestamp::now().as_second() + world.skew;
            let time = |second: i64| jiff::Timestamp::from_second(second).unwrap().to_string();
            let at = |kind: &str, path: &str| json!({"type": kind, "endpoints": [{"interface": "public", "region_id": "R", "url": format!("http://{host}{path}")}]});
            let token = json!({
                "expires_at": time(now + world.life), "issued_at": time(now), "user": {"id": "user"},
                "project": {"id": PROJECT, "name": "p"}, "roles": [{"name": "member"}],
                "application_credential": {"id": "cred"},
                "catalog": [at("identity", "/identity/v3"), at("compute", "/compute/v2.1"), at("network", "/network"), at("image", "/image"),
                    at("volumev3", "/volume/v3/0000feed"), at("load-balancer", "/lb")],
            });
            return (201, json!({"token": token}).to_string());
        }
        let versions = |id: &str| json!({"versions": [{"id": id, "status": "CURRENT", "links": [{"rel": "self", "href": format!("http://wrong.invalid/{}", if id == "v2.5" { "v2" } else { id })}]}]});
        match path {
            "/network" => return (200, versions("v2.0").to_string()),
            "/image" => return (300, versions("v2").to_string()),
            "/lb" => return (200, versions("v2.5").to_string()),
            "/compute/v2.1/" => {
                return (
                    200,
                    json!({"version": {"id": "v2.1", "min_version": "2.1", "version": "2.96"}}).to_string(),
                );
            }
            _ => {}
        }
        if !head
            .lines()
            .any(|line| line.eq_ignore_ascii_case(&format!("x-auth-token: token-canary-{}", world.token)))
        {
            return (401, json!({"error": {"message": "the token is not good"}}).to_string());
        }
        let missing = (404, json!({"NeutronError": {"message": "not found"}}).to_string());
        let count = |world: &World, kind: &str| world.things[kind].len();
        match path {
            "/compute/v2.1/limits" => {
                let (servers, groups) = (count(&world, "servers"), count(&world, "server_groups"));
                let absolute = json!({"maxTotalCores": 2 * world.quota, "totalCoresUsed": 2 * servers, "maxTotalRAMSize": -1, "totalRAMUsed": 0, "maxTotalInstances": world.quota,
                    "totalInstancesUsed": servers, "maxServerGroups": 10, "totalServerGroupsUsed": groups});
                return (200, json!({"limits": {"absolute": absolute}}).to_string());
            }
            "/volume/v3/0000feed/limits" => {
                let absolute = json!({"maxTotalVolumes": world.quota, "totalVolumesUsed": count(&world, "volumes"), "maxTotalVolumeGigabytes": 100 * world.quota, "totalGigabytesUsed": 0,
                    "maxTotalSnapshots": 10, "totalSnapshotsUsed": count(&world, "snapshots")});
                return (200, json!({"limits": {"absolute": absolute}}).to_string());
            }
            "/network/v2.0/quotas/0000feed/details.json" => {
                let one =
                    |kind: &str| json!({"limit": world.quota, "used": count(&world, kind), "reserved": 0});
                let quota = json!({"network": one("networks"), "subnet": one("subnets"), "router": one("routers"), "port": json!({"limit": 4 * world.quota, "used": count(&world, "ports"), "reserved": 0}),
                    "security_group": one("security_groups"), "floatingip": one("floatingips")});
                return (200, json!({"quota": quota}).to_string());
            }
            "/lb/v2/lbaas/quotas/0000feed" => {
                return (200, json!({"quota": {"load_balancer": 5}}).to_string());
            }
            "/compute/v2.1/os-availability-zone" => {
                return (
                    200,
                    json!({"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": true}}]})
                        .to_string(),
                );
            }
            "/identity/v3/users/user/application_credentials/cred" => {
                return (
                    200,
                    json!({"application_credential": {"expires_at": "2033-05-18T03:33:20.000000"}})
                        .to_string(),
                );
            }
            _ => {}
        }
        for (list, collection, one) in KINDS {
            let Some(rest) = path.strip_prefix(list) else { continue };
            let things = world.things.get_mut(collection).unwrap();
            if rest.is_empty() || rest == "/detail" {
                let value =
                    |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
                let start = match (value("marker"), value("offset")) {
                    (Some(marker), _) => things.keys().position(|id| id == marker).map_or(0, |at| at + 1),
                    (None, Some(offset)) => offset.parse().unwrap(),
                    (None, None) => 0,
                };
                let wrap = |thing: &Value| {
                    if *collection == "keypairs" { json!({"keypair": thing}) } else { thing.clone() }
                };
                let page: Vec<Value> = things.values().skip(start).take(PAGE).map(wrap).collect();
                let more = start + page.len() < things.len();
                let last =
                    things.keys().nth((start + page.len()).saturating_sub(1)).filter(|_| more).cloned();
                let mut answer = json!({*collection: page});
                if let Some(last) = last {
                    let next = format!("http://wrong.invalid{path}?marker={last}");
                    match *collection {
                        "server_groups" => {}
                        "images" => answer["next"] = json!(format!("/v2/images?marker={last}")),
                        _ => answer[format!("{collection}_links")] = json!([{"rel": "next", "href": next}]),
                    }
                }
                return (200, answer.to_string());
            }
            let id = rest.trim_start_matches('/');
            if let (Some(server), "POST", "servers") = (id.strip_suffix("/action"), method, *collection) {
                return match things.get(server) {
                    Some(_) => {
                        (200, json!({"output": format!("console of {server}\nkernel panic")}).to_string())
                    }
                    None => missing,
                };
            }
            return match (method, things.get(id)) {
                ("GET", Some(thing)) if *collection == "images" => (200, thing.to_string()),
                ("GET", Some(thing)) => (200, json!({*one: thing}).to_string()),
                ("DELETE", Some(_)) => {
                    things.remove(id);
                    (204, String::new())
                }
                _ => missing,
            };
        }
        missing
    }
}
