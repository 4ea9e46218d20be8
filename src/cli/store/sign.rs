//! Signatures of requests to an object store: AWS Signature Version 4, as "Authenticating Requests (AWS Signature Version 4)" of
//! the Amazon S3 API reference has it. Swift, Ceph, MinIO and Google's store understand the same.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

/// The bytes of a block of SHA-256, and of a hash.
const BLOCK: usize = 64;

/// Who asks, and where.
pub(super) struct Scope<'a> {
    pub(super) key_id: &'a str,
    pub(super) secret: &'a str,
    pub(super) region: &'a str,
}

/// The value of `Authorization` of a request without body. `headers` are all that are signed: lower case, `host`,
/// `x-amz-date` and `x-amz-content-sha256` among them; `query` is encoded; `path` is encoded.
pub(super) fn authorization(
    scope: &Scope<'_>,
    at: Timestamp,
    path: &str,
    query: &[(String, String)],
    headers: &[(&str, String)],
) -> String {
    let (date, time) = (day(at), moment(at));
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.trim())).collect();
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("GET\n{path}\n{}\n{lines}\n{names}\n{}", joined(query), hash(b""));
    let credential = format!("{date}/{}/s3/aws4_request", scope.region);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{credential}\n{}", hash(canonical.as_bytes()));
    let mut key = format!("AWS4{}", scope.secret).into_bytes();
    for part in [date.as_str(), scope.region, "s3", "aws4_request"] {
        key = hmac(&key, part.as_bytes()).to_vec();
    }
    let signature = hex(&hmac(&key, text.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{credential},SignedHeaders={names},Signature={signature}",
        scope.key_id
    )
}

/// The query in the order in which it is signed; also the order in which it is sent.
pub(super) fn joined(query: &[(String, String)]) -> String {
    let mut pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

/// `20130524T000000Z`
pub(super) fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string()
}

/// Everything but letters, digits and `-._~` in per cent; in paths `/` stays.
pub(super) fn encoded(text: &str, path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if path => out.push('/'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// SHA-256 in hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    match key.len() {
        0..=BLOCK => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let with = |mask: u8| block.map(|byte| byte ^ mask);
    let inner = Sha256::new().chain_update(with(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(with(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_hashes_are_those_of_the_standard() {
        // RFC 4231, cases 1, 2 and 6.
        for (key, message, wanted) in [
            (vec![0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&hmac(&key, message.as_bytes())), wanted);
        }
    }

    /// The examples of the S3 API reference.
    #[test]
    fn signatures_are_those_of_the_reference() {
        let scope = Scope {
            key_id: "AKIAIOSFODNN7EXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
        };
        let at: Timestamp = "2013-05-24T00:00:00Z".parse().unwrap();
        let mut headers = vec![
            ("host", "examplebucket.s3.amazonaws.com".to_owned()),
            ("x-amz-content-sha256", hash(b"")),
            ("x-amz-date", moment(at)),
        ];
        let query = [("prefix", "J"), ("max-keys", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let listed = authorization(&scope, at, "/", &query, &headers);
        assert_eq!(
            listed,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;x-amz-content-sha256;x-amz-date,\
             Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
        headers.push(("range", "bytes=0-9".into()));
        let got = authorization(&scope, at, "/test.txt", &[], &headers);
        assert!(
            got.ends_with("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            "{got}"
        );
        assert_eq!(encoded("a b/ü+~", true), "a%20b/%C3%BC%2B~");
        assert_eq!(encoded("a/b", false), "a%2Fb");
    }
}
