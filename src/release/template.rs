//! The template language of `csctl`: `<< .ClusterClassVersion >>` and two more of its kind, in any file.

const START: &str = "<< ";
const END: &str = " >>";

/// What the three places stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) class: &'a str,
    pub(super) addon: &'a str,
    pub(super) image: &'a str,
}

/// Fills a file in.
///
/// `csctl` refuses a start without an end, and puts nothing in the place of a name that it does not know. The former
/// breaks the build of a stack that holds a shell's `<< EOF`, the latter eats a piece of it. Both are refused here, by
/// the line and what is wrong with it.
pub(super) fn fill_in(bytes: &[u8], values: Values<'_>) -> Result<Vec<u8>, (usize, String)> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(start) = find(rest, START.as_bytes()) {
        let line = bytes[..bytes.len() - rest.len() + start].iter().filter(|b| **b == b'\n').count() + 1;
        let inside = &rest[start + START.len()..];
        let Some(end) = find(inside, END.as_bytes()) else {
            return Err((line, "`<< ` has no ` >>` after it, which csctl demands".into()));
        };
        out.extend_from_slice(&rest[..start]);
        match &inside[..end] {
            b".ClusterClassVersion" => out.extend_from_slice(values.class.as_bytes()),
            b".ClusterAddonVersion" => out.extend_from_slice(values.addon.as_bytes()),
            b".NodeImageVersion" => out.extend_from_slice(values.image.as_bytes()),
            other => {
                let shown: String = String::from_utf8_lossy(other).chars().take(40).collect();
                let why = format!(
                    "csctl would remove `<< {} >>`, whose name it does not know",
                    shown.escape_debug()
                );
                return Err((line, why));
            }
        }
        rest = &inside[end + END.len()..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_names_are_known() {
        let values = Values { class: "v2", addon: "v3", image: "v4" };
        for (text, expect) in [
            ("version: << .ClusterClassVersion >>\n", Ok("version: v2\n")),
            ("<< .ClusterAddonVersion >><< .NodeImageVersion >>", Ok("v3v4")),
            ("a <<b>> <<EOF {{ . }}", Ok("a <<b>> <<EOF {{ . }}")),
            ("", Ok("")),
            ("a\nb << EOF\n", Err((2, "has no ` >>` after it"))),
            ("<< .Clusterclassversion >>", Err((1, "csctl would remove `<< .Clusterclassversion >>`"))),
        ] {
            let found = fill_in(text.as_bytes(), values);
            match (found, expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect.as_bytes(), "{text}"),
                (Err((line, why)), Err((at, part))) => {
                    assert_eq!(line, at, "{text}");
                    assert!(why.contains(part), "{why}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
