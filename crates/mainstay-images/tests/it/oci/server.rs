//! Debian's `docker-registry`, on a port of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use mainstay_images::oci::Reference;
use mainstay_testkit::{Victim, eventually};
use tempfile::TempDir;

/// The account of a registry that asks for one. The hash is bcrypt of the password.
pub const USER: &str = "tester";
pub const PASSWORD: &str = "secret-of-the-test";
const HTPASSWD: &str = "tester:$2y$04$sSuoPLJTcjUPcVyL1lxguOrXfD6SSMupvMY8SWynuKypG8WpMYEIO\n";

/// What the registry asks of its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Nothing,
    Password,
}

pub struct DockerRegistry {
    pub address: SocketAddr,
    _directory: TempDir,
    _process: Victim,
}

impl DockerRegistry {
    pub async fn start(asks: Asks) -> Self {
        Self::start_with(asks, "").await
    }

    /// With TLS by a certificate and its key in files.
    pub async fn start_tls(certificate: &Path, key: &Path) -> Self {
        let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
        Self::start_with(Asks::Nothing, &tls).await
    }

    async fn start_with(asks: Asks, http: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {at}/data\nhttp:\n  addr: {address}\n{http}"
        );
        if asks == Asks::Password {
            config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {at}/htpasswd\n");
        }
        let file = directory.path().join("registry.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stderr(std::process::Stdio::null());
        let process = Victim::spawn(command);
        let answers = async || tokio::net::TcpStream::connect(address).await.is_ok();
        eventually("docker-registry answers", answers).await;
        Self { address, _directory: directory, _process: process }
    }

    pub fn reference(&self, rest: &str) -> Reference {
        reference(self.address, rest)
    }
}

pub fn reference(address: SocketAddr, rest: &str) -> Reference {
    format!("{address}/{rest}").parse().unwrap()
}
