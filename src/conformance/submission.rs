//! Whether a submission to the [certification of the CNCF](https://github.com/cncf/k8s-conformance/blob/master/instructions.md) would be
//! taken: what its bot demands, as of [verify-conformance](https://github.com/kubernetes-sigs/verify-conformance), November 2026.

use super::{Log, Union};
use crate::types::{KubernetesMinor, printable};
use serde::Serialize;
use serde_json::{Map, Value};

/// The files of a submission, and no others.
pub const FILES: [&str; 4] = ["README.md", "PRODUCT.yaml", "e2e.log", "junit_01.xml"];

/// The fields of `PRODUCT.yaml` that must be there.
const FIELDS: [&str; 8] = [
    "vendor",
    "name",
    "version",
    "type",
    "description",
    "website_url",
    "documentation_url",
    "contact_email_address",
];
const ADDRESSES: [&str; 4] = ["website_url", "repo_url", "documentation_url", "product_logo_url"];
const KINDS: [&str; 3] = ["distribution", "hosted platform", "installer"];

/// Why a submission would be refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objection {
    /// What is wrong, in which file.
    pub what: String,
    /// What would make it right.
    pub hint: String,
}

fn objection(what: impl Into<String>, hint: impl Into<String>) -> Objection {
    Objection { what: what.into(), hint: hint.into() }
}

/// What `PRODUCT.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Product {
    fields: Map<String, Value>,
}

impl Product {
    /// Reads it.
    ///
    /// # Errors
    /// Why it is no mapping in YAML.
    pub fn parse(text: &str) -> Result<Self, String> {
        match serde_saphyr::from_str(text).map_err(|error| error.to_string())? {
            Value::Object(fields) => Ok(Self { fields }),
            _ => Err("it is no mapping".into()),
        }
    }

    /// A field that is there and says something.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let text = match self.fields.get(name)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// Its name as the name of a folder: `Example Cloud` is `example-cloud`.
    #[must_use]
    pub fn folder(&self) -> String {
        let name = self.field("name").unwrap_or_else(|| "product".into()).to_lowercase();
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
        words.join("-")
    }

    fn objections(&self) -> Vec<Objection> {
        let mut wrong = Vec::new();
        for name in FIELDS.into_iter().filter(|name| self.field(name).is_none()) {
            wrong.push(objection(
                format!("PRODUCT.yaml: `{name}` is missing or empty"),
                "write it; every field is required",
            ));
        }
        for name in ADDRESSES {
            let Some(address) = self.field(name) else { continue };
            if !is_address(&address) {
                wrong.push(objection(
                    format!("PRODUCT.yaml: `{name}` is no address: `{}`", printable(&address)),
                    "write it whole: https://example.com/page",
                ));
            }
        }
        if let Some(mail) = self.field("contact_email_address")
            && !is_mail(&mail)
        {
            wrong.push(objection(
                format!(
                    "PRODUCT.yaml: `contact_email_address` is no address of mail: `{}`",
                    printable(&mail)
                ),
                "one address, name@example.com",
            ));
        }
        if let Some(kind) = self.field("type")
            && !KINDS.contains(&kind.to_lowercase().as_str())
        {
            wrong.push(objection(
                format!("PRODUCT.yaml: `type` is `{}`", printable(&kind)),
                format!("one of: {}", KINDS.join(", ")),
            ));
        }
        wrong
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme))
            && uri.host().is_some_and(|h| h.contains('.'))
    })
}

fn is_mail(text: &str) -> bool {
    let (name, host) = text.split_once('@').unwrap_or_default();
    let plain =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "@<>,;".contains(c));
    plain(name) && plain(host) && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
}

/// What is to be submitted.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// The results against the list.
    pub union: &'a Union,
    /// The logs.
    pub log: &'a Log,
    /// How many bytes the logs have.
    pub log_size: u64,
    /// What is submitted.
    pub product: &'a Product,
    /// How to reproduce the results.
    pub readme: &'a str,
}

impl Submission<'_> {
    /// The minor in whose folder it belongs: that of the API server in the log.
    #[must_use]
    pub fn minor(&self) -> Option<KubernetesMinor> {
        self.log.servers.first().map(|version| version.minor())
    }

    /// The title of the pull request.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let name = self.product.field("name")?;
        Some(format!("Conformance results for v{} {name}", self.minor()?))
    }

    /// Everything that speaks against it. What can only be known elsewhere is not looked at: whether addresses
    /// answer with pages, whether the minor is still taken, and the commits of the pull request.
    #[must_use]
    pub fn objections(&self) -> Vec<Objection> {
        let mut wrong = Vec::new();
        if self.readme.trim().is_empty() {
            wrong.push(objection(
                "README.md is empty",
                "say how the cluster is made and how the tests were run",
            ));
        }
        if self.log_size == 0 {
            wrong.push(objection("e2e.log is missing or empty", "name the log of e2e.test with the results"));
        } else if self.log.servers.is_empty() {
            wrong.push(objection(
                "e2e.log does not name the version of the API server",
                "it must be the whole log; its beginning says `kube-apiserver version: v1.NN.P`",
            ));
        }
        let mut minors: Vec<String> =
            self.log.servers.iter().map(|version| version.minor().to_string()).collect();
        minors.dedup();
        if minors.len() > 1 {
            wrong.push(objection(
                format!("the logs are of different versions: {}", minors.join(", ")),
                "all results must be of one cluster",
            ));
        }
        if self.log.succeeded() == Some(false) {
            wrong.push(objection("e2e.log ends with FAIL!", "all tests must pass"));
        }
        wrong.extend(self.results());
        wrong.extend(self.product.objections());
        wrong
    }

    fn results(&self) -> Vec<Objection> {
        let (union, mut wrong) = (self.union, Vec::new());
        let first = |names: &mut dyn Iterator<Item = &String>| {
            names.next().map_or(String::new(), |name| format!(", e.g. `{name}`"))
        };
        if !union.missing.is_empty() {
            let what = format!(
                "junit_01.xml: {} of {} required tests did not run{}",
                union.missing.len(),
                union.required,
                first(&mut union.missing.iter())
            );
            wrong.push(objection(what, "run them; `stack-e2e conformance check` lists them all"));
        }
        if !union.failed.is_empty() {
            let names = &mut union.failed.iter().map(|(name, _)| name);
            wrong.push(objection(
                format!("junit_01.xml: {} required tests failed{}", union.failed.len(), first(names)),
                "all must pass",
            ));
        }
        for (file, why) in &union.cut_short {
            wrong.push(objection(
                format!("{file}: the suite was ended: {}", printable(why)),
                "run it to its end",
            ));
        }
        if !union.unknown.is_empty() {
            let what = format!(
                "junit_01.xml: {} conformance tests are not of this version{}",
                union.unknown.len(),
                first(&mut union.unknown.iter())
            );
            wrong.push(objection(what, "the list and e2e.test must be those of the version of the cluster"));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "vendor: A\nname: Example Cloud\nversion: 1.2\ntype: distribution\ndescription: d\nwebsite_url: https://example.com\n\
        documentation_url: https://docs.example.com/x\ncontact_email_address: a@example.com\n";

    fn objections(product: &str, log: &str, union: &Union, readme: &str) -> Vec<String> {
        let mut known = Log::default();
        log.lines().for_each(|line| known.line(line));
        let product = Product::parse(product).unwrap();
        let all = Submission { union, log: &known, log_size: log.len() as u64, product: &product, readme };
        all.objections().into_iter().map(|one| one.what).collect()
    }

    fn complete() -> Union {
        Union { required: 1, passed: vec!["a [Conformance]".into()], ..Union::default() }
    }

    const LOG: &str =
        "kube-apiserver version: v1.36.3\nSUCCESS! -- 1 Passed | 0 Failed | 0 Pending | 0 Skipped";

    #[test]
    fn what_is_right_is_taken() {
        assert_eq!(objections(GOOD, LOG, &complete(), "how"), Vec::<String>::new());
        let product = Product::parse(GOOD).unwrap();
        assert_eq!(product.folder(), "example-cloud");
        let mut log = Log::default();
        LOG.lines().for_each(|line| log.line(line));
        let all = Submission { union: &complete(), log: &log, log_size: 1, product: &product, readme: "x" };
        assert_eq!(all.title().unwrap(), "Conformance results for v1.36 Example Cloud");
    }

    #[test]
    fn each_thing_that_is_wrong_is_an_objection_of_its_own() {
        let product = |from: &str, to: &str| objections(&GOOD.replace(from, to), LOG, &complete(), "how");
        assert_eq!(product("vendor: A", "vendor: ''"), ["PRODUCT.yaml: `vendor` is missing or empty"]);
        assert_eq!(
            product("https://example.com\n", "example\n"),
            ["PRODUCT.yaml: `website_url` is no address: `example`"]
        );
        assert_eq!(product("a@example.com", "a@b@example.com").len(), 1);
        assert_eq!(product("type: distribution", "type: cloud"), ["PRODUCT.yaml: `type` is `cloud`"]);
        let union = |change: &dyn Fn(&mut Union)| {
            let mut union = complete();
            change(&mut union);
            objections(GOOD, LOG, &union, "how")
        };
        let missing = union(&|union| union.missing.push("b [Serial] [Conformance]".into()));
        assert_eq!(
            missing,
            ["junit_01.xml: 1 of 1 required tests did not run, e.g. `b [Serial] [Conformance]`"]
        );
        assert_eq!(union(&|union| union.failed.push(("b".into(), "c".into()))).len(), 1);
        assert_eq!(union(&|union| union.cut_short.push(("b".into(), "Timed Out".into()))).len(), 1);
        assert_eq!(union(&|union| union.unknown.push("b".into())).len(), 1);
        let log = |log: &str| objections(GOOD, log, &complete(), "how");
        assert_eq!(log(""), ["e2e.log is missing or empty"]);
        assert_eq!(log("x"), ["e2e.log does not name the version of the API server"]);
        assert_eq!(log(&LOG.replace("SUCCESS!", "FAIL!")), ["e2e.log ends with FAIL!"]);
        assert_eq!(
            log(&format!("{LOG}\nkube-apiserver version: v1.35.0")),
            ["the logs are of different versions: 1.36, 1.35"]
        );
        assert_eq!(objections(GOOD, LOG, &complete(), "\n"), ["README.md is empty"]);
    }
}
