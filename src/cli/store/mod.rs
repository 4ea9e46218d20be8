//! Results in an object store, by the protocol of S3: `s3://BUCKET/PREFIX`. Who asks stands in the environment, as every tool for
//! such stores has it; nothing of it is ever an argument.

mod sign;

use super::exit::Exit;
use super::http::Http;
use super::{inputs, screen};
use crate::results::JOURNAL_FILE;
use futures::{StreamExt, TryStreamExt};
use http::{Request, Uri};
use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::BTreeSet;
use std::path::Path;

/// What an address of an object store begins with.
const SCHEME: &str = "s3://";
/// More objects, or larger ones, are no archive of results.
const MAX_OBJECTS: usize = 20_000;
const MAX_BYTES: u64 = 512 << 20;
/// So many are fetched at once.
const AT_ONCE: usize = 8;

/// Whether results lie in an object store instead of a directory.
pub(super) fn is_address(place: &Path) -> bool {
    place.to_str().is_some_and(|text| text.starts_with(SCHEME))
}

/// An object, as a list names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    key: String,
    size: u64,
}

/// A page of a list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    objects: Vec<Object>,
    next: Option<String>,
}

/// Where the store is and who asks.
struct Store {
    http: Http,
    host: String,
    base: String,
    bucket: String,
    region: String,
    /// Id of the key, and the key; nobody when the bucket is public.
    key: Option<(String, String)>,
    token: Option<String>,
}

/// Copies the journals and `report.json` files below `place` into a directory that goes with the value.
pub(super) fn fetch(place: &Path) -> Result<tempfile::TempDir, Exit> {
    let address = place.display().to_string();
    let fail = |why: String| {
        let hint = "`s3://BUCKET/PREFIX` is asked at AWS_ENDPOINT_URL, in AWS_REGION, with AWS_ACCESS_KEY_ID, \
                    AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, all from the environment";
        screen::complain(&format!("`{address}` cannot be read: {why}"), hint);
        Exit::Infrastructure
    };
    let rest = address.strip_prefix(SCHEME).unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || !bucket.chars().all(fine) {
        screen::complain(&format!("`{address}` names no bucket"), "write s3://BUCKET/PREFIX");
        return Err(Exit::BadInput);
    }
    let directory = tempfile::tempdir().map_err(|error| fail(error.to_string()))?;
    inputs::runtime()?.block_on(async {
        let store = Store::from_environment(bucket).map_err(fail)?;
        let objects = store.list(prefix).await.map_err(fail)?;
        let wanted = wanted(objects);
        let fetched = futures::stream::iter(wanted.into_iter().enumerate()).map(|(number, object)| {
            let (store, directory) = (&store, directory.path());
            async move {
                let text = store.get(&object).await?;
                let place = directory.join(local(number, &object.key));
                let parent = place.parent().unwrap_or(directory);
                std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
                std::fs::write(&place, text).map_err(|error| error.to_string())
            }
        });
        fetched.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.map_err(fail)
    })?;
    Ok(directory)
}

/// Journals, and reports where there is no journal beside them; the newest, by the names of runs, if there are too many.
fn wanted(objects: Vec<Object>) -> Vec<Object> {
    let folder = |key: &str| key.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let is_journal = |key: &str| key.rsplit('/').next() == Some(JOURNAL_FILE);
    let runs: BTreeSet<String> =
        objects.iter().filter(|one| is_journal(&one.key)).map(|one| folder(&one.key)).collect();
    let mut wanted: Vec<Object> = objects
        .into_iter()
        .filter(|one| {
            is_journal(&one.key) || (one.key.ends_with("report.json") && !runs.contains(&folder(&one.key)))
        })
        .filter(|one| {
            let fits = one.size <= MAX_BYTES;
            if !fits {
                screen::note(&format!("warning: `{}` is left out: it has {} bytes", one.key, one.size));
            }
            fits
        })
        .collect();
    wanted.sort_by(|a, b| a.key.cmp(&b.key));
    if wanted.len() > MAX_OBJECTS {
        screen::note(&format!("warning: {} older results are left out", wanted.len() - MAX_OBJECTS));
        wanted.drain(..wanted.len() - MAX_OBJECTS);
    }
    wanted
}

/// A place of its own for each, with a name that says where it comes from. Nothing of a key leads anywhere.
fn local(number: usize, key: &str) -> std::path::PathBuf {
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    let plain: String =
        folder.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let tail = plain.get(plain.len().saturating_sub(100)..).unwrap_or_default();
    let name = if name == JOURNAL_FILE { JOURNAL_FILE } else { "report.json" };
    Path::new(&format!("{number:05}-{tail}")).join(name)
}

#[expect(clippy::disallowed_methods, reason = "credentials come from the environment alone")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Store {
    fn from_environment(bucket: &str) -> Result<Self, String> {
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".into());
        let endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let uri: Uri = endpoint.parse().map_err(|error| format!("AWS_ENDPOINT_URL: {error}"))?;
        let key = match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(key)) => Some((id, key)),
            (None, None) => None,
            (Some(_), None) => return Err("AWS_SECRET_ACCESS_KEY is not set".into()),
            (None, Some(_)) => return Err("AWS_ACCESS_KEY_ID is not set".into()),
        };
        Ok(Self {
            host: uri.authority().map(ToString::to_string).unwrap_or_default(),
            base: uri.path().trim_end_matches('/').to_owned(),
            http: Http::below(endpoint.trim_end_matches('/'))?,
            bucket: bucket.to_owned(),
            region,
            key,
            token: variable("AWS_SESSION_TOKEN"),
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Object>, String> {
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut query = vec![("list-type".to_owned(), "2".to_owned())];
            query.push(("prefix".into(), sign::encoded(prefix, false)));
            if let Some(token) = &next {
                query.push(("continuation-token".into(), sign::encoded(token, false)));
            }
            let text = self.ask("", &query).await?;
            let page = parse(&text)?;
            objects.extend(page.objects);
            if objects.len() > 100 * MAX_OBJECTS {
                return Err(format!("there are more than {} objects", 100 * MAX_OBJECTS));
            }
            match page.next {
                Some(token) if Some(&token) != next.as_ref() => next = Some(token),
                Some(_) => return Err("its list does not end".into()),
                None => return Ok(objects),
            }
        }
    }

    async fn get(&self, object: &Object) -> Result<String, String> {
        self.ask(&object.key, &[]).await.map_err(|why| format!("`{}`: {why}", object.key))
    }

    /// The bucket is part of the path: that needs no names in DNS, and every store understands it.
    async fn ask(&self, key: &str, query: &[(String, String)]) -> Result<String, String> {
        let path = format!("/{}/{}", self.bucket, sign::encoded(key, true));
        let at = Timestamp::now();
        let mut headers = vec![
            ("host", self.host.clone()),
            ("x-amz-content-sha256", sign::hash(b"")),
            ("x-amz-date", sign::moment(at)),
        ];
        headers.extend(self.token.iter().map(|token| ("x-amz-security-token", token.clone())));
        let mut request = Request::get(match sign::joined(query).as_str() {
            "" => path.clone(),
            query => format!("{path}?{query}"),
        });
        if let Some((key_id, secret)) = &self.key {
            let scope = sign::Scope { key_id, secret, region: &self.region };
            let signed = format!("{}{path}", self.base);
            request =
                request.header("authorization", sign::authorization(&scope, at, &signed, query, &headers));
            for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
                request = request.header(*name, value);
            }
        }
        self.http.send(request.body(Vec::new()).map_err(|error| error.to_string())?).await
    }
}

/// Reads a page of `ListObjectsV2`.
fn parse(text: &str) -> Result<Page, String> {
    let mut reader = Reader::from_str(text);
    let mut page = Page::default();
    let mut path: Vec<String> = Vec::new();
    let (mut key, mut size, mut value) = (String::new(), 0, String::new());
    loop {
        match reader.read_event().map_err(|error| format!("its list cannot be read: {error}"))? {
            Event::Start(start) => {
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                value.clear();
            }
            Event::Text(text) => value.push_str(&text.decode().map_err(|error| error.to_string())?),
            Event::GeneralRef(name) => {
                let name = name.decode().map_err(|error| error.to_string())?;
                let known = name.strip_prefix("#x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
                let known = known.or_else(|| name.strip_prefix('#').and_then(|number| number.parse().ok()));
                match (known.and_then(char::from_u32), quick_xml::escape::resolve_predefined_entity(&name)) {
                    (Some(character), _) => value.push(character),
                    (None, Some(text)) => value.push_str(text),
                    (None, None) => return Err(format!("its list has the unknown entity `{name}`")),
                }
            }
            Event::End(_) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                match names.as_slice() {
                    ["ListBucketResult", "Contents", "Key"] => key = std::mem::take(&mut value),
                    ["ListBucketResult", "Contents", "Size"] => {
                        size = value.trim().parse().unwrap_or(u64::MAX)
                    }
                    ["ListBucketResult", "Contents"] => {
                        page.objects.push(Object { key: std::mem::take(&mut key), size });
                    }
                    ["ListBucketResult", "NextContinuationToken"] => {
                        page.next = Some(std::mem::take(&mut value))
                    }
                    _ => {}
                }
                let whole = names == ["ListBucketResult"];
                path.pop();
                if whole {
                    return Ok(page);
                }
            }
            Event::Eof => return Err("its list is no list of objects".into()),
            Event::DocType(_) => return Err("its list has a document type".into()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_its_next_page() {
        let text = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>\
            <IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b=</NextContinuationToken>\
            <Contents><Key>runs/1 &#x3c;/journal.jsonl</Key><Size>12</Size><Owner><ID>x</ID></Owner></Contents>\
            <Contents><Key>x/report.json</Key><Size>none</Size></Contents></ListBucketResult>";
        let page = parse(text).unwrap();
        assert_eq!(page.next.as_deref(), Some("a&b="));
        assert_eq!(page.objects[0], Object { key: "runs/1 </journal.jsonl".into(), size: 12 });
        assert_eq!(page.objects[1].size, u64::MAX, "what has no size is too large");
        for bad in
            ["", "<html></html>", "<ListBucketResult>", "<!DOCTYPE x><ListBucketResult/>", "<a>&b;</a>"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_a_run_the_journal_is_enough_and_no_key_leads_out() {
        let object = |key: &str, size| Object { key: key.into(), size };
        let all = vec![
            object("b/report.json", 1),
            object("a/journal.jsonl", 1),
            object("a/report.json", 1),
            object("a/report.html", 1),
            object("c/journal.jsonl", MAX_BYTES + 1),
            object("nightly-report.json", 1),
        ];
        let keys: Vec<String> = wanted(all).into_iter().map(|one| one.key).collect();
        assert_eq!(keys, ["a/journal.jsonl", "b/report.json", "nightly-report.json"]);
        assert_eq!(local(3, "../../etc/ü/journal.jsonl"), Path::new("00003-______etc__/journal.jsonl"));
        assert_eq!(local(4, "nightly-report.json"), Path::new("00004-/report.json"));
    }
}
