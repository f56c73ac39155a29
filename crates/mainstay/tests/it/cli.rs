//! Commands: help, documents, exit codes.

use std::path::{Path, PathBuf};

use mainstay_testkit::golden;

use crate::support::server::{json, mainstay, run};

fn golden_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name)
}

fn check_help(args: &[&str], name: &str) {
    let output = mainstay().args(args).arg("--help").env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    golden::check(golden_file(name), &String::from_utf8(output.stdout).unwrap());
}

#[test]
fn help_is_the_committed_text() {
    check_help(&[], "help.txt");
    check_help(&["serve"], "help-serve.txt");
    check_help(&["migrate", "down"], "help-migrate-down.txt");
    check_help(&["sso", "connection", "add"], "help-sso-connection-add.txt");
}

fn check_exit(args: &[&str], code: i32, in_error: &str) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(in_error), "{args:?}: {text:?} should contain {in_error:?}");
}

#[test]
fn exit_codes_say_who_has_to_act() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let with = |args: &[&'static str]| [args, &["--data"]].concat();
    let check = |args: &[&'static str], code, in_error| {
        let mut args = with(args);
        args.push(data);
        check_exit(&args, code, in_error);
    };
    check_exit(&["version"], 0, "");
    check_exit(&["--version"], 0, "");
    check_exit(&[], 2, "Usage");
    check_exit(&["fly"], 2, "unrecognized");
    check(&["migrate", "status"], 1, "there is no database");
    check(&["sso", "connection", "list"], 1, "mainstay migrate up");
    check(&["migrate", "up", "--component", "nobody"], 2, "there are: sso");
    check(&["migrate", "up"], 0, "");
    check(&["sso", "connection", "show", "conn_x"], 2, "conn_");
    check(&["sso", "connection", "show", "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1, "connection list");
    check(&["sso", "connection", "add", "--metadata", "no-such-file"], 2, "no-such-file");
    check(&["sso", "connection", "add", "--metadata", "http://127.0.0.1:1/"], 1, "--allow-private");
    check(
        &["sso", "connection", "add", "--allow-private", "--metadata", "http://127.0.0.1:1/"],
        3,
        "no connection",
    );
    check(&["migrate", "down", "--component", "sso", "--to", "0"], 1, "--confirm sso");
    check_exit(&["migrate", "status", "--database", "postgres://nobody@127.0.0.1:1/x"], 3, "");
    check_exit(&["serve", "--listen", "nowhere"], 2, "nowhere");
}

#[test]
fn a_damaged_database_is_told_from_a_missing_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.db");
    std::fs::write(&file, "this is no database at all, but long enough to have a header".repeat(100))
        .unwrap();
    check_exit(&["migrate", "status", "--database", &format!("sqlite://{}", file.display())], 4, "");
}

#[test]
fn a_look_at_a_file_that_is_not_there_does_not_make_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.db");
    let url = format!("sqlite://{}", file.display());
    check_exit(&["migrate", "status", "--database", &url], 1, "there is no database at");
    assert!(!file.exists());
    check_exit(&["migrate", "status", "--database", "sqlite:///nonexistent/x.db"], 2, "mkdir -p");
    check_exit(&["migrate", "up", "--database", &url], 0, "");
    check_exit(&["migrate", "status", "--database", &url], 0, "");
}

#[test]
fn a_broken_file_of_settings_is_not_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mainstay.toml");
    std::fs::write(&file, "log = \"info\"\ndatabase = \"postgres://me:hunter2@db.example/app\n").unwrap();
    for command in [["config", "check"].as_slice(), &["serve"], &["doctor"]] {
        let output = run(&[command, &["--config", file.to_str().unwrap()]].concat());
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("line 2 is not TOML") && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_failure_is_a_document_too() {
    let output = run(&["migrate", "status", "--data", "/nonexistent/mainstay", "--json"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["schema"], "mainstay.error/1");
    assert_eq!(error["exit"], "refused");
    assert!(error["help"].as_str().unwrap().contains("mainstay serve"));
    assert!(output.stdout.is_empty());
}

#[test]
fn migrations_go_up_and_down() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let up = json(&["migrate", "up", "--data", data]);
    assert_eq!(up["schema"], "mainstay.migrate.up/1");
    assert_eq!(up["steps"][0]["direction"], "up");
    let status = json(&["migrate", "status", "--data", data]);
    let component = &status["components"][0];
    assert_eq!(component["component"], "sso");
    assert_eq!(component["migrated"], component["latest"]);
    assert!(component["applied"][0]["applied_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(json(&["migrate", "plan", "--data", data])["steps"].as_array().unwrap().len(), 0);

    let down =
        json(&["migrate", "down", "--component", "sso", "--to", "0", "--confirm", "sso", "--data", data]);
    assert_eq!(down["steps"][0]["direction"], "down");
    let plan = json(&["migrate", "plan", "--data", data]);
    assert!(plan["steps"][0]["sql"].as_str().unwrap().contains("CREATE TABLE"));
    assert_eq!(json(&["migrate", "status", "--data", data])["components"][0]["migrated"], 0);
}

/// An identity provider's metadata, made for the test.
pub(crate) fn metadata(directory: &Path) -> PathBuf {
    let key = rcgen::generate_simple_self_signed(vec!["idp.test".to_owned()]).unwrap();
    let certificate: String = key.cert.pem().lines().filter(|line| !line.starts_with("-----")).collect();
    let xml = format!(
        r#"<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.test/entity">
  <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>
      <ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.test/sso"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>"#
    );
    let path = directory.join("idp.xml");
    std::fs::write(&path, xml).unwrap();
    path
}

#[test]
fn a_connection_lives_its_life_on_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    json(&["migrate", "up", "--data", data]);
    let file = metadata(directory.path());
    let connection = |args: &[&str]| json(&[&["sso", "connection"], args, &["--data", data]].concat());

    let url = "https://id.example.com";
    let added = connection(&[
        "add",
        "--name",
        "Example Ltd",
        "--organization",
        "example",
        "--preset",
        "okta",
        "--metadata",
        file.to_str().unwrap(),
        "--public-url",
        url,
    ]);
    assert_eq!(added["schema"], "mainstay.sso.connection.add/1");
    let of = &added["connection"];
    let id = of["id"].as_str().unwrap();
    assert_eq!(of["status"], "draft");
    assert_eq!(of["acs_url"], format!("{url}/saml/{id}/acs"));
    assert_eq!(of["sp_entity_id"], format!("{url}/saml/{id}/metadata"));
    assert_eq!(of["idp_entity_id"], "https://idp.test/entity");
    assert_eq!(added["certificates"].as_array().unwrap().len(), 1);

    assert_eq!(connection(&["enable", id])["connection"]["status"], "enabled");
    assert_eq!(connection(&["enable", id])["connection"]["status"], "enabled", "saying it twice is no error");
    let shown = connection(&["show", id]);
    assert_eq!(shown["certificates"][0]["state"], "active");
    assert_eq!(shown["missing"].as_array().unwrap().len(), 0);
    assert_eq!(connection(&["list", "--status", "enabled"])["connections"][0]["name"], "Example Ltd");
    assert_eq!(connection(&["disable", id])["connection"]["status"], "disabled");
    assert_eq!(connection(&["list", "--status", "enabled"])["connections"].as_array().unwrap().len(), 0);
    let unnamed = connection(&["add", "--metadata", file.to_str().unwrap()]);
    assert_eq!(unnamed["connection"]["name"], "idp", "the file's name");
    let unnamed = unnamed["connection"]["id"].as_str().unwrap();
    let grant = ["sso", "administrator", "grant", unnamed, "--name-id", "ann", "--data", data];
    check_exit(&grant, 2, "--global");
    for (flags, guesses) in [([].as_slice(), true), (&["--public-url", url], false)] {
        let add = ["sso", "connection", "add", "--metadata", file.to_str().unwrap(), "--data", data];
        let text = String::from_utf8(run(&[add.as_slice(), flags].concat()).stdout).unwrap();
        assert_eq!(text.contains("take the server to be http://127.0.0.1:7800"), guesses, "{text}");
    }
    let list = run(&["sso", "connection", "list", "--data", data]);
    let text = String::from_utf8(list.stdout).unwrap();
    assert!(text.starts_with("ID") && text.contains("disabled") && text.contains("Example Ltd"), "{text}");
}

#[test]
fn metadata_that_is_none_leaves_no_draft_behind() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    json(&["migrate", "up", "--data", data]);
    let file = directory.path().join("idp.xml");
    std::fs::write(&file, "<html>Not found</html>").unwrap();
    let args = ["sso", "connection", "add", "--data", data, "--metadata", file.to_str().unwrap()];
    assert_eq!(run(&args).status.code(), Some(1));
    let list = json(&["sso", "connection", "list", "--data", data]);
    assert_eq!(list["connections"].as_array().unwrap().len(), 0);
}

#[test]
fn config_check_tells_every_problem_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mainstay.toml");
    std::fs::write(
        &file,
        "database = \"postgres://me:hunter2@db.example/app\"\nlisten = \"here\"\nlog_fromat = \"json\"\n",
    )
    .unwrap();
    let args = ["config", "check", "--config", file.to_str().unwrap(), "--public-url", "https://a/b"];
    let output = mainstay().args(args).env("MAINSTAY_DEV", "perhaps").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    for part in
        ["here", "did you mean log_format?", "https://a/b", "perhaps", "MAINSTAY_DEV", "mainstay.toml"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");

    let good = json(&["config", "check", "--data", "/var/lib/mainstay"]);
    assert_eq!(good["schema"], "mainstay.config.check/1");
    let line = |setting: &str| {
        let all = good["settings"].as_array().unwrap();
        all.iter().find(|line| line["setting"] == setting).cloned().unwrap()
    };
    assert_eq!(line("data")["origin"], "--data");
    assert_eq!(line("listen")["origin"], "default");
}

#[test]
fn the_doctor_says_what_mends() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    check_exit(&["doctor", "--data", data], 1, "finding");
    check_exit(&["doctor", "--database", "postgres://nobody@127.0.0.1:1/x"], 3, "finding");
    json(&["migrate", "up", "--data", data]);
    let report = json(&["doctor", "--data", data]);
    assert_eq!(report["schema"], "mainstay.doctor/1");
    let find = |report: &serde_json::Value, verdict: &str| {
        let findings = report["findings"].as_array().unwrap();
        let found = findings.iter().filter(|finding| finding["verdict"] == verdict);
        found.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(find(&report, "warning"), ["connections"], "{report}");
    // One finding for each component of the database.
    let migrations = vec!["migrations"; mainstay_server::COMPONENTS.len()];
    let expected =
        [["configuration", "data", "database", "durability"].as_slice(), &migrations, &["images"]].concat();
    assert_eq!(find(&report, "good"), expected, "{report}");

    let file = metadata(directory.path());
    json(&["sso", "connection", "add", "--enable", "--metadata", file.to_str().unwrap(), "--data", data]);
    let report = json(&["doctor", "--data", data]);
    assert_eq!(find(&report, "warning"), Vec::<String>::new(), "{report}");
    let hasty = format!("sqlite://{data}/mainstay.db?synchronous=normal");
    let hasty = json(&["doctor", "--data", data, "--database", &hasty]);
    assert_eq!(find(&hasty, "warning"), ["durability"], "{hasty}");
    let moved = json(&["doctor", "--data", data, "--public-url", "https://other.example.com"]);
    assert_eq!(find(&moved, "warning"), ["connections"], "{moved}");
}
