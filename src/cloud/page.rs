//! The pages of a listing. Each service has its own way to say that there is more.

use serde_json::Value;

/// How a service continues a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paging {
    /// `{"servers": […], "servers_links": [{"rel": "next", "href": …}]}`
    Links,
    /// `{"images": […], "next": "/v2/images?marker=…"}`
    Next,
    /// No word about it: asked for again from an offset until nothing comes.
    Offset,
}

/// What follows a page: the query of the next request, `None` after the last one.
///
/// # Errors
/// What is wrong with the answer.
pub(super) fn next(
    paging: Paging,
    collection: &str,
    answer: &Value,
    count: usize,
    had: usize,
) -> Result<Option<String>, String> {
    let query = |href: &str| match href.split_once('?') {
        // Only the query: behind a proxy a service often gives an address at which nobody answers.
        Some((_, query)) => Ok(Some(query.to_owned())),
        None => Err(format!("the next page has no query: `{href}`")),
    };
    match paging {
        Paging::Links => {
            let links =
                answer[format!("{collection}_links")].as_array().map(Vec::as_slice).unwrap_or_default();
            match links.iter().find(|link| link["rel"] == "next") {
                Some(link) => query(link["href"].as_str().unwrap_or_default()),
                None => Ok(None),
            }
        }
        Paging::Next => match &answer["next"] {
            Value::String(href) if !href.is_empty() => query(href),
            _ => Ok(None),
        },
        Paging::Offset if count == 0 => Ok(None),
        Paging::Offset => Ok(Some(format!("offset={}", had + count))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_service_says_in_its_own_way_that_there_is_more() {
        let more = json!({"ports_links": [{"rel": "previous", "href": "x?a"}, {"rel": "next", "href": "http://wrong/v2.0/ports?limit=2&marker=b"}]});
        assert_eq!(next(Paging::Links, "ports", &more, 2, 0), Ok(Some("limit=2&marker=b".into())));
        assert_eq!(next(Paging::Links, "ports", &json!({"ports": []}), 0, 2), Ok(None));
        assert!(next(Paging::Links, "ports", &json!({"ports_links": [{"rel": "next"}]}), 2, 0).is_err());
        let glance = json!({"next": "/v2/images?marker=c"});
        assert_eq!(next(Paging::Next, "images", &glance, 2, 0), Ok(Some("marker=c".into())));
        assert_eq!(next(Paging::Next, "images", &json!({}), 2, 0), Ok(None));
        assert_eq!(next(Paging::Offset, "server_groups", &json!({}), 50, 50), Ok(Some("offset=100".into())));
        assert_eq!(next(Paging::Offset, "server_groups", &json!({}), 0, 100), Ok(None));
    }
}
