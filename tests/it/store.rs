//! History out of an object store: a stand-in that speaks the protocol of S3. `.ci/store` does the same with a server that
//! others have written, which verifies the signatures.

use crate::support::process::Home;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Objects by key, in a bucket named `results`; gives the address, and what was asked.
fn store(objects: BTreeMap<String, String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (objects, log) = (Arc::new(objects), asked.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (objects, log) = (objects.clone(), log.clone());
            std::thread::spawn(move || serve(stream, &objects, &log));
        }
    });
    (address, asked)
}

fn serve(stream: TcpStream, objects: &BTreeMap<String, String>, log: &Mutex<Vec<String>>) {
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            headers.push(line.trim().to_ascii_lowercase());
        }
        let target = request.split(' ').nth(1).unwrap().to_owned();
        log.lock().unwrap().push(target.clone());
        let signed = headers.iter().any(|line| {
            line.starts_with("authorization: aws4-hmac-sha256 credential=key/")
                && line.contains("/eu-test/s3/aws4_request,signedheaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,signature=")
        });
        let (status, body) = if !signed {
            ("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>".to_owned())
        } else if let Some(query) = target.strip_prefix("/results/?") {
            ("200 OK", list(query, objects))
        } else {
            match objects.get(target.strip_prefix("/results/").unwrap_or_default()) {
                Some(text) => ("200 OK", text.clone()),
                None => ("404 Not Found", String::new()),
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// One object to a page, so that pages are followed.
fn list(query: &str, objects: &BTreeMap<String, String>) -> String {
    let after =
        query.split('&').find_map(|pair| pair.strip_prefix("continuation-token=")).unwrap_or_default();
    assert!(query.contains("list-type=2") && query.contains("prefix=nightly%2F"), "{query}");
    let mut left =
        objects.iter().filter(|(key, _)| key.starts_with("nightly/")).skip(after.parse().unwrap_or(0));
    let (number, found) = (after.parse::<usize>().unwrap_or(0) + 1, left.next());
    let more = left.next().is_some();
    let contents = found.map_or(String::new(), |(key, text)| {
        format!("<Contents><Key>{key}</Key><Size>{}</Size></Contents>", text.len())
    });
    let next =
        if more { format!("<NextContinuationToken>{number}</NextContinuationToken>") } else { String::new() };
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>results</Name>{next}{contents}</ListBucketResult>"
    )
}

fn journal(home: &Home, run: usize) -> String {
    let directory = home.run_directory(&home.runs()[run]);
    std::fs::read_to_string(directory.join("journal.jsonl")).unwrap()
}

const ACCESS: &str =
    "AWS_REGION=eu-test AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=hidden AWS_SESSION_TOKEN=token";

#[test]
fn history_comes_out_of_an_object_store_as_out_of_a_directory() {
    let home = Home::new();
    assert_eq!(home.run("scripts/quick.json", &[]).code(), 0);
    assert_eq!(home.run("scripts/failed-check.json", &[]).code(), 1);
    let first = home.run_directory(&home.runs()[0]);
    let report = std::fs::read_to_string(first.join("report.json")).unwrap();
    let objects = BTreeMap::from([
        ("nightly/1/report.json".to_owned(), report),
        ("nightly/2/journal.jsonl".to_owned(), journal(&home, 1)),
        ("nightly/2/report.html".to_owned(), "<html>".to_owned()),
        ("other/3/journal.jsonl".to_owned(), "nothing that may be asked for".to_owned()),
    ]);
    let (address, asked) = store(objects);
    let from = |access: &str, place: &str| {
        home.shell(&format!("AWS_ENDPOINT_URL={address} {access} stack-e2e report --history {place}"))
    };
    let stored = from(ACCESS, "s3://results/nightly/");
    assert_eq!(stored.code(), 0, "{}", stored.stderr);
    let local = home.say(&["report", "--history", ".stack-e2e/runs"]);
    assert_eq!(stored.stdout, local.stdout);
    assert!(stored.stdout.contains("RED "), "{}", stored.stdout);
    let mut asked: Vec<String> = std::mem::take(&mut asked.lock().unwrap());
    asked.retain(|target| !target.contains('?'));
    asked.sort();
    assert_eq!(asked, ["/results/nightly/1/report.json", "/results/nightly/2/journal.jsonl"]);

    let stranger = from("AWS_REGION=eu-test", "s3://results/nightly/");
    assert_eq!(stranger.code(), 3);
    assert!(
        stranger.stderr.contains("it answers 403") && stranger.stderr.contains("hint: "),
        "{}",
        stranger.stderr
    );
    for text in [&stored.stdout, &stored.stderr, &stranger.stderr] {
        assert!(!text.contains("hidden"), "{text}");
    }
    let half = from("AWS_ACCESS_KEY_ID=key", "s3://results/nightly/");
    assert!(half.stderr.contains("AWS_SECRET_ACCESS_KEY is not set"), "{}", half.stderr);
    assert_eq!(from(ACCESS, "s3:///x").code(), 2);
}
