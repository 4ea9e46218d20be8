//! The part of Go's text templates that patches of ClusterClasses and values of add-ons use, evaluated with concrete
//! values. Pure.
//!
//! What is not understood is an error of its own kind, [`Error::Unknown`]: whoever asks must not take silence for an
//! answer. What Go itself would refuse is [`Error::Fails`].

mod eval;
mod functions;
mod lex;
mod parse;
mod reads;
mod value;

pub use value::Val;

use std::collections::BTreeSet;

/// Why a template has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Go would refuse it, too: it does not parse, or it fails with these values.
    #[error("{0}")]
    Fails(String),
    /// It may be fine, but this evaluator cannot tell.
    #[error("{0}")]
    Unknown(String),
}

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    body: Vec<parse::Node>,
    defined: Vec<(String, Vec<parse::Node>)>,
}

/// What a template reads from its data, found without evaluating it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Fields of the data: `a`, `a.b`.
    pub fields: BTreeSet<String>,
    /// Field and text that are compared with each other.
    pub compared: BTreeSet<(String, String)>,
    /// Texts that something other than a plain field is compared with, such as an element of a list.
    pub compared_elsewhere: BTreeSet<String>,
    /// The data as a whole is handed on, so any field may be read.
    pub everything: bool,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// The text is not a template, or uses a construct that is not understood.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (body, defined) = parse::parse(text)?;
        Ok(Self { body, defined })
    }

    /// Renders the template with `data` as the dot.
    ///
    /// # Errors
    /// Go would fail, or the result depends on something that is not understood.
    pub fn render(&self, data: &Val) -> Result<String, Error> {
        eval::render(&self.body, &self.defined, data)
    }

    /// What it reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        reads::of(&self.body, true, &mut reads);
        for (_, body) in &self.defined {
            // Where a named template is called from is not followed; its dot is not known to be the data.
            reads::of(body, false, &mut reads);
        }
        reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn data() -> Val {
        let mut data = Val::from_json(&json!({
            "lb": "octavia-ovn", "empty": "", "n": 1500, "half": 0.5, "yes": true, "list": ["a", "b"], "none": [],
            "oidc": {"client_id": "kubectl", "nested": {"x": "y"}},
            "devices": [{"name": "d", "sizeGiB": 20}],
        }));
        if let Val::Map(map) = &mut data {
            map.insert("builtin".into(), Val::Opaque("builtin".into()));
        }
        data
    }

    fn render(text: &str) -> Result<String, Error> {
        Template::parse(text)?.render(&data())
    }

    #[test]
    fn renders_as_go_does() {
        // Every right side is what Go's text/template with sprig writes for the left side.
        for (template, output) in [
            ("plain", "plain"),
            (r#"{{ eq .lb "octavia-ovn" }}"#, "true"),
            (r#"{{ eq .lb "a" "octavia-ovn" }}"#, "true"),
            (r#"{{ ne .lb "yawol" }}"#, "true"),
            (r#"{{ if eq .lb "yawol" }}1{{ else if eq .lb "octavia-ovn" }}2{{ else }}3{{ end }}"#, "2"),
            (r#"{{ if or (eq .lb "x") (eq .lb "octavia-ovn") }}true{{end}}"#, "true"),
            (r#"{{ if and .oidc .oidc.client_id .oidc.issuer_url }}true{{end}}"#, ""),
            ("{{ if and .missing .missing.client_id }}true{{end}}", ""),
            ("{{ .missing }}{{ .missing.deeper }}", "<no value><no value>"),
            (r#"{{ eq .missing "x" }}"#, "false"),
            ("{{ not .empty }}", "true"),
            ("{{ .n }} {{ .half }} {{ .yes }} {{ .list }}", "1500 0.5 true [a b]"),
            ("{{ .oidc }}", "map[client_id:kubectl nested:map[x:y]]"),
            ("{{ .oidc.nested.x }}", "y"),
            (
                "[ {{ range .list }} { filter: { name: {{ . }}}}, {{ end }} ]",
                "[  { filter: { name: a}},  { filter: { name: b}},  ]",
            ),
            ("{{ range .none }}x{{ else }}empty{{ end }}", "empty"),
            ("{{ range $i, $e := .list }}{{ $i }}={{ $e }};{{ end }}", "0=a;1=b;"),
            ("{{ range $k, $v := .oidc }}{{ $k }} {{ end }}", "client_id nested "),
            ("a\n{{- range .devices }}\n- {{ .name }}: {{ .sizeGiB }}\n{{- end }}\n", "a\n- d: 20\n"),
            (
                r#"{{ .empty | default "x" }}{{ default "y" .missing }}{{ .lb | quote }}"#,
                r#"xy"octavia-ovn""#,
            ),
            (r#"{{ trimPrefix "octavia-" .lb | upper }}"#, "OVN"),
            (r#"{{ printf "%s-%v %q %d%%" .lb .n "q" 3 }}"#, r#"octavia-ovn-1500 "q" 3%"#),
            (r#"{{ with .oidc }}{{ .client_id }}{{ $.lb }}{{ else }}no{{ end }}"#, "kubectloctavia-ovn"),
            (r#"{{ $x := .lb }}{{ if .yes }}{{ $x = "set" }}{{ end }}{{ $x }}"#, "set"),
            (r#"{{ has "a" .list }}{{ has "c" .list }}{{ contains "ovn" .lb }}"#, "truefalsetrue"),
            (r#"{{ index .list 1 }}{{ index .oidc "client_id" }}{{ len .list }}"#, "bkubectl2"),
            (
                r#"{{ .list | join "," }}{{ .oidc | toJson }}"#,
                r#"a,b{"client_id":"kubectl","nested":{"x":"y"}}"#,
            ),
            (r#"{{/* note */}}{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" .lb }}"#, "<octavia-ovn>"),
            (r#"{{ ternary "a" "b" .yes }}{{ empty .none }}{{ coalesce .empty .lb }}"#, "atrueoctavia-ovn"),
            ("{{ .builtin.cluster.name }}", "\u{27e8}builtin.cluster.name\u{27e9}"),
            (r#"{{ gt .n 20.0 }}{{ (index .devices 0).name }}{{ `raw` }}"#, "truedraw"),
            (r#"{{ "a" }}{{- "b" -}} {{ "c" }}"#, "abc"),
            ("{{ .lb | nindent 2 }}{{ indent 1 .lb }}", "\n  octavia-ovn octavia-ovn"),
            (
                r#"{{ splitList "-" .lb | last }}{{ trimAll "o" .lb }}{{ replace "o" "0" .lb }}"#,
                "ovnctavia-ovn0ctavia-0vn",
            ),
            (
                r#"{{ range $x := .devices }}{{ $x.name }}{{ end }}{{ with $d := index .devices 0 }}{{ $d.sizeGiB }}{{ end }}"#,
                "d20",
            ),
            (r#"{{ if true -}}  x  {{- end }} {{ print 1 }}{{ quote .missing .empty }}"#, "x 1\"\""),
            ("{{ .nothing }}{{ len .lb }}{{ 1.5 }}{{ -3 }}", "<no value>111.5-3"),
            (r#"{{ ge 3 2 }}{{ lt "a" "b" }}{{ eq 1.0 1.0 }}{{ eq true .yes }}"#, "truetruetruetrue"),
            (r#"{{ if eq .lb "a" }}{{ else }}{{ $y := 1 }}{{ $y }}{{ end }}"#, "1"),
            (
                r#"{{ dict "a" 1 | toJson }}{{ get .oidc "nope" }}{{ hasKey .oidc "client_id" }}"#,
                r#"{"a":1}true"#,
            ),
            ("{{ or .empty .lb }}{{ and .lb .empty }}{{ .lb | squote }}", "octavia-ovn'octavia-ovn'"),
        ] {
            assert_eq!(render(template), Ok(output.into()), "{template}");
        }
    }

    #[test]
    fn tells_what_fails_from_what_is_not_understood() {
        for (template, fails) in [
            ("{{ if .lb }}", true),
            ("{{ end }}", true),
            // Variables are floats, literals integers; Go refuses to compare the two.
            ("{{ eq .n 1500 }}", true),
            ("{{ .lb.x }}", true),
            ("{{ nosuch .lb }}", false),
            (r#"{{ semverCompare ">=1.30" .builtin.controlPlane.version }}"#, false),
            (r#"{{ eq .builtin.cluster.name "x" }}"#, false),
            ("{{ if .builtin.machineDeployment }}x{{ end }}", false),
            ("{{ $undefined }}", true),
            ("{{ break }}", false),
            (r#"{{ "open }}"#, true),
        ] {
            match render(template) {
                Err(Error::Fails(_)) => assert!(fails, "{template} is not understood, not wrong"),
                Err(Error::Unknown(_)) => assert!(!fails, "{template} is wrong"),
                Ok(output) => panic!("{template} renders to {output}"),
            }
        }
    }

    #[test]
    fn deep_templates_do_not_end_the_process() {
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(render(&deep).is_err());
        let nested = "{{ if .yes }}".repeat(100_000) + &"{{ end }}".repeat(100_000);
        assert!(render(&nested).is_err());
        assert!(render(r#"{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}"#).is_err());
    }

    #[test]
    fn knows_what_it_reads() {
        let reads = |text: &str| Template::parse(text).unwrap().reads();
        let set = |items: &[&str]| items.iter().map(|s| (*s).to_owned()).collect::<BTreeSet<_>>();
        let r = reads(
            r#"{{ if and (ne .a "") (eq "x" .b.c "y") }}{{ .d }}{{ range .e }}{{ .f }}{{ $.g }}{{ end }}{{ end }}"#,
        );
        assert_eq!(r.fields, set(&["a", "b.c", "d", "e", "g"]));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(r.compared, [pair("a", ""), pair("b.c", "x"), pair("b.c", "y")].into());
        assert!(!r.everything);
        assert!(reads("{{ toJson . }}").everything);
        assert!(reads(r#"{{ range .e }}{{ template "t" $ }}{{ end }}"#).everything);
        assert_eq!(reads(r#"{{ index . "a" }}"#).fields, set(&["a"]));
        assert_eq!(reads(r#"{{ has .a (list "x" "y") }}"#).compared, [pair("a", "x"), pair("a", "y")].into());
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_the_process(text in r#"(\{\{|\}\}|- | -|[.$a"`|()=:, \n0-9ü]|if|else|end|range|with|eq|list|define|template|/\*|\*/){0,40}"#) {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.reads();
                let _ = template.render(&data());
            }
        }
    }
}
