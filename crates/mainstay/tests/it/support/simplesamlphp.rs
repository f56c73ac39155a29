//! SimpleSAMLphp as Debian packages it, with keys, users and metadata of its own, served by PHP's own web server.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mainstay_testkit::pause;
use serde_json::Value;
use tempfile::TempDir;

use super::browser::{Answer, Browser};
use super::html::Form;
use super::server::{free_port, json};

const WWW: &str = "/usr/share/simplesamlphp/www";
const INSTALL: &str = "apt-get install --no-install-recommends php-cli php-xml simplesamlphp";

/// The one user that it knows.
pub(crate) const USER: &str = "alice";
/// Her password.
pub(crate) const PASSWORD: &str = "correct horse";

/// A running identity provider. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct SimpleSamlPhp {
    directory: TempDir,
    child: Child,
    origin: String,
}

impl SimpleSamlPhp {
    /// Starts it under a host name: `127.0.0.1` is on the same site as our server, `localhost` is another site.
    pub(crate) fn start(host: &str) -> Self {
        assert!(Path::new(WWW).is_dir(), "SimpleSAMLphp is not installed: {INSTALL}");
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let origin = format!("http://{host}:{port}");
        configure(directory.path(), &origin);
        let child = Command::new("php")
            .args(["-S", &format!("127.0.0.1:{port}"), "-t", WWW])
            .env("SIMPLESAMLPHP_CONFIG_DIR", directory.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("php.log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("php does not start ({error}): {INSTALL}"));
        let provider = Self { directory, child, origin };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "php does not listen: {}", provider.log());
            pause(Duration::from_millis(20));
        }
        provider
    }

    pub(crate) fn metadata_url(&self) -> String {
        format!("{}/saml2/idp/metadata.php", self.origin)
    }

    /// Makes a connection to it on the command line, and makes us known to it. Gives the connection's id.
    pub(crate) fn connect(&self, settings: &[&str]) -> String {
        let metadata = self.metadata_url();
        let add = [
            "sso",
            "connection",
            "add",
            "--name",
            "SimpleSAMLphp",
            "--metadata",
            &metadata,
            "--allow-private",
            "--enable",
        ];
        let added = json(&[&add, settings].concat());
        let connection = &added["connection"];
        assert_eq!(connection["status"], "enabled", "{added}");
        self.register(&connection["sp_entity_id"], &connection["acs_url"]);
        connection["id"].as_str().unwrap().to_owned()
    }

    fn register(&self, entity_id: &Value, acs_url: &Value) {
        let text = format!(
            "<?php\n$metadata[{entity_id}] = ['AssertionConsumerService' => {acs_url},\n\
             'NameIDFormat' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',\n\
             'simplesaml.nameidattribute' => 'mail'];\n"
        );
        fs::write(self.directory.path().join("metadata/saml20-sp-remote.php"), text).unwrap();
    }

    /// Fills in its real login form; gives the form that carries the answer back.
    pub(crate) fn sign_in(&self, browser: &mut Browser, away: &Answer) -> Form {
        let page = browser.get(&away.location());
        let page = browser.follow(page);
        assert!(page.body.contains("name=\"password\""), "no login form: {page:?}\n{}", self.log());
        let form = Form::of(&page).with("username", USER).with("password", PASSWORD);
        let answered = form.submit(browser);
        let answered = browser.follow(answered);
        let form = Form::of(&answered);
        assert!(form.field("SAMLResponse").is_some(), "no answer: {answered:?}\n{}", self.log());
        form
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("php.log")).unwrap_or_default()
    }
}

impl Drop for SimpleSamlPhp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(root: &Path, origin: &str) {
    for directory in ["config", "cert", "metadata", "log", "data", "tmp", "sessions"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    let write = |path: &str, text: String| fs::write(root.join(path), text).unwrap();
    let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "SimpleSAMLphp");
    write("cert/server.crt", params.self_signed(&pair).unwrap().pem());
    write("cert/server.pem", pair.serialize_pem());
    let root = root.display();
    write(
        "config/config.php",
        format!(
            "<?php\n$config = [\n'baseurlpath' => '{origin}/', 'certdir' => '{root}/cert/', 'loggingdir' => '{root}/log/',\n\
             'datadir' => '{root}/data/', 'tempdir' => '{root}/tmp/', 'metadatadir' => '{root}/metadata/',\n\
             'secretsalt' => 'a salt of this test only', 'auth.adminpassword' => 'nobody signs in with it',\n\
             'technicalcontact_email' => 'nobody@example.test', 'timezone' => 'UTC', 'logging.handler' => 'file',\n\
             'enable.saml20-idp' => true, 'session.cookie.secure' => false, 'store.type' => 'phpsession',\n\
             'session.phpsession.savepath' => '{root}/sessions',\n\
             'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],\n\
             'metadata.sources' => [['type' => 'flatfile', 'directory' => '{root}/metadata']],\n\
             'language.default' => 'en', 'trusted.url.domains' => null,\n];\n"
        ),
    );
    write(
        "config/authsources.php",
        format!(
            "<?php\n$config = ['users' => ['exampleauth:UserPass', '{USER}:{PASSWORD}' => ['uid' => ['{USER}'],\n\
             'displayName' => ['Alice Example'], 'mail' => ['alice@example.test']]]];\n"
        ),
    );
    write(
        "metadata/saml20-idp-hosted.php",
        "<?php\n$metadata['__DYNAMIC:1__'] = ['host' => '__DEFAULT__', 'privatekey' => 'server.pem',\n\
         'certificate' => 'server.crt', 'auth' => 'users'];\n"
            .to_owned(),
    );
    write("metadata/saml20-sp-remote.php", "<?php\n".to_owned());
}
