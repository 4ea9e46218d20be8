use super::*;
use secrecy::ExposeSecret as _;

fn cloud(text: &str, name: Option<&str>) -> Cloud {
    Files::of_texts(text, None, None)
        .unwrap()
        .cloud(name, None)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

fn refused(text: &str, name: Option<&str>) -> String {
    match Files::of_texts(text, None, None).and_then(|files| files.cloud(name, None)) {
        Ok(cloud) => panic!("{cloud:?}"),
        Err(problems) => problems.render(false),
    }
}

const PASSWORD: &str = "
clouds:
  one:
    auth: {auth_url: 'https://k:5000/v3', username: u, password: 'pass: word', project_name: p, user_domain_name: Default, project-domain-id: default}
    region_name: R
  two:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://k:5000
      application_credential_id: abc
      application_credential_secret: sesame-sesame
    interface: internal
    verify: no
";

#[test]
fn a_password_and_an_application_credential_are_read() {
    let one = cloud(PASSWORD, Some("one"));
    let Auth::Password { user, password, project } = &one.auth else { panic!("{one:?}") };
    assert_eq!((user.name.as_deref(), user.domain_name.as_deref()), (Some("u"), Some("Default")));
    assert_eq!((project.name.as_deref(), project.domain_id.as_deref()), (Some("p"), Some("default")));
    assert_eq!(
        (password.expose_secret(), one.region.as_deref(), one.verify),
        ("pass: word", Some("R"), true)
    );
    assert!(!format!("{one:?}").contains("pass: word"), "{one:?}");
    let two = cloud(PASSWORD, Some("two"));
    assert_eq!((two.interface, two.verify), (Interface::Internal, false));
    assert!(matches!(&two.auth, Auth::ApplicationCredential { id: Some(id), .. } if id == "abc"));
    assert!(!format!("{two:?}").contains("sesame"), "{two:?}");
}

#[test]
fn the_layers_are_merged_as_openstacksdk_does() {
    let clouds = "
clouds:
  c:
    profile: vendor
    auth: {username: u, project_id: pid}
    regions:
    - name: A
      values: {interface: internal, auth: {project_id: of-region}}
    - B
";
    let secure = "clouds: {c: {auth: {password: secret-one}}}";
    let public = "
public-clouds:
  vendor:
    auth: {auth_url: 'https://{region_name}.example.org/v3', user_domain_name: D, project_id: of-vendor, username: vendor}
    interface: admin
";
    let files = Files::of_texts(clouds, Some(secure), Some(public)).unwrap();
    let of =
        |region| files.cloud(None, region).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let (first, second) = (of(None), of(Some("B")));
    assert_eq!((first.auth_url.as_str(), first.interface), ("https://A.example.org/v3", Interface::Internal));
    assert_eq!((second.auth_url.as_str(), second.interface), ("https://B.example.org/v3", Interface::Admin));
    let project = |cloud: &Cloud| match &cloud.auth {
        Auth::Password { user, project, .. } => (user.name.clone().unwrap(), project.id.clone().unwrap()),
        Auth::ApplicationCredential { .. } => panic!(),
    };
    assert_eq!(project(&first), ("u".into(), "of-region".into()));
    assert_eq!(project(&second), ("u".into(), "pid".into()));
    let wrong = files.cloud(None, Some("C")).unwrap_err().render(false);
    assert!(wrong.contains("has no region `C`") && wrong.contains("there are: A, B"), "{wrong}");
}

#[test]
fn what_pyyaml_understands_is_understood() {
    let text = "
x-common: &common
  region_name: R
  auth: &auth {auth_url: https://k/v3, application_credential_id: 0123, application_credential_secret: 'x y z 0 1 2'}
clouds:
  c:
    <<: *common
    auth_type: v3applicationcredential
    auth: {<<: *auth, application_credential_id: own}
";
    let found = cloud(text, None);
    assert!(matches!(&found.auth, Auth::ApplicationCredential { id: Some(id), .. } if id == "own"));
    assert_eq!(found.region.as_deref(), Some("R"));
    let json = r#"{"clouds": {"c": {"auth_type": "password", "auth": {"auth_url": "http://k/v3", "user_id": "u", "password": "p", "tenant_id": "t"}}}}"#;
    assert!(matches!(cloud(json, None).auth, Auth::Password { .. }));
}

#[test]
fn every_problem_is_told_at_once_and_no_secret_with_it() {
    let text = "
clouds:
  c:
    auth:
      auth_url: k:5000
      username: u
      password: [swordfish]
    interface: private
    identity_api_version: 2
    verify: 'no'
    api_timeout: soon
    profile: citycloud
    cert: me.pem
";
    let shown = refused(text, None);
    insta::assert_snapshot!(shown);
    assert!(!shown.contains("swordfish"));
}

#[test]
fn what_is_no_file_of_clouds_is_refused() {
    for (text, message) in [
        ("clouds: [a]", "`clouds` is a list, and not a mapping"),
        ("- a", "the file holds a list"),
        ("clouds: {a: b}", "the entry of the cloud `a` is a text"),
        ("clouds: {a: {auth: secret-text}}", "`auth` of the cloud `a` is a text"),
        ("clouds: {a: {}, a: {}}", "`a` is given twice"),
        ("clouds:\n\ta: b", "this is not YAML"),
        ("clouds: {a: {}}\n---\nb", "a second document"),
        ("clouds: {}", "there is no cloud in it"),
        ("clouds: {a: {}, b: {}}", "there are 2 clouds in it"),
        ("a: *b", "an alias of an anchor that is not there"),
        ("a: &a [*a]", "an alias stands inside"),
        ("<<: [1]\nclouds: {a: {}}", "`<<` merges mappings"),
    ] {
        let shown = refused(text, None);
        assert!(shown.contains(message), "{text}\n{shown}");
        assert!(!shown.contains("secret-text"), "{shown}");
    }
    assert!(refused(PASSWORD, Some("on")).contains("did you mean `one`?"));
    assert!(
        refused("clouds: {c: {auth: {application_credential_id: a}}}", None)
            .contains("auth_type: v3applicationcredential")
    );
    assert!(refused("clouds: {c: {auth_type: v3oidcpassword}}", None).contains("none of `password`"));
}

#[test]
fn a_small_file_cannot_become_a_large_tree() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{}", level - 1); 10].join(", ")
        ));
    }
    assert!(refused(&bomb, None).contains("values"), "the budget holds");
    assert!(refused(&"[".repeat(100), None).contains("error"));
}

#[test]
fn the_first_file_of_the_search_is_read_and_a_named_one_before_all() {
    let place = tempfile::tempdir().unwrap();
    let write = |path: &str, name: &str| {
        let file = place.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, format!("clouds: {{{name}: {{}}}}")).unwrap();
        file
    };
    write("home/.config/openstack/clouds.yaml", "of-home");
    let mut places = Places {
        home: Some(place.path().join("home")),
        working: place.path().join("work"),
        ..Places::default()
    };
    assert_eq!(load(&places).unwrap().names(), ["of-home"]);
    write("work/clouds.json", "of-json");
    assert_eq!(load(&places).unwrap().names(), ["of-json"]);
    write("work/clouds.yaml", "of-work");
    write("work/secure.yml", "of-secure");
    assert_eq!(load(&places).unwrap().names(), ["of-secure", "of-work"]);
    places.config_file = Some(write("elsewhere.yaml", "named"));
    assert_eq!(load(&places).unwrap().names(), ["named", "of-secure"]);
    places.config_file = Some(place.path().join("missing.yaml"));
    assert_eq!(load(&places).unwrap().names(), ["of-secure", "of-work"]);
    let nothing = Places { working: place.path().join("nothing"), ..Places::default() };
    if let Ok(files) = load(&nothing)
        && files.names().is_empty()
    {
        assert!(files.cloud(None, None).unwrap_err().render(false).contains("there is no such file"));
    }
}
