//! What every command needs: how to print, the configuration, the database.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::{Actor, Caller};
use mainstay_repo::{DatabaseUrl, Repo};
use mainstay_server::{COMPONENTS, Config, Loaded, PublicUrl, Sources, open, prepare_data};
use mainstay_sso::{Scope, Sso};
use mainstay_workflow::Control;

use super::args::{ServerSettings, Settings};
use super::exit::{Exit, Failure, Outcome};
use super::output::Output;

/// How long a command waits at its end for a database that does not answer.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The circumstances of one run.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    environment: Vec<(String, String)>,
    /// What was opened, to be closed when the command ends.
    opened: Mutex<Vec<Repo>>,
}

impl Context {
    pub(crate) const fn new(output: Output, environment: Vec<(String, String)>) -> Self {
        Self { output, environment, opened: Mutex::new(Vec::new()) }
    }

    /// Lays file, environment and flags over each other.
    pub(crate) fn load(&self, settings: &Settings, server: Option<&ServerSettings>) -> Outcome<Loaded> {
        self.load_flags(settings, flags(settings, server))
    }

    fn load_flags(&self, settings: &Settings, flags: Vec<(&'static str, String)>) -> Outcome<Loaded> {
        let mut sources = Sources { environment: self.environment.clone(), flags, file: None };
        if let Some(path) = &settings.config {
            sources = sources.with_file(path).map_err(|problem| Failure::new(Exit::Usage, problem))?;
        }
        Ok(Loaded::from_sources(&sources))
    }

    /// The configuration; warnings are printed, problems are the failure.
    pub(crate) fn config(&self, settings: &Settings, server: Option<&ServerSettings>) -> Outcome<Config> {
        self.checked(self.load(settings, server)?)
    }

    /// The configuration with settings that only some commands have.
    pub(crate) fn config_with(
        &self,
        settings: &Settings,
        images: &[(&'static str, Option<String>)],
    ) -> Outcome<Config> {
        let mut flags = flags(settings, None);
        flags.extend(images.iter().filter_map(|(key, value)| Some((*key, value.clone()?))));
        self.checked(self.load_flags(settings, flags)?)
    }

    /// A variable of the environment that is no setting.
    pub(crate) fn environment(&self, name: &str) -> Option<String> {
        self.environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    }

    fn checked(&self, loaded: Loaded) -> Outcome<Config> {
        for warning in &loaded.warnings {
            self.output.warning(warning);
        }
        loaded.into_config().map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
            Failure::new(Exit::Usage, format!("the configuration has problems:\n{}", lines.join("\n")))
                .with_help("mainstay config check shows every setting and where it comes from")
        })
    }

    /// Opens the database that must be there already.
    pub(crate) async fn existing(&self, config: &Config) -> Outcome<Repo> {
        if let Some(file) = missing_file(config)? {
            return Err(Failure::new(Exit::Refused, format!("there is no database at {}", file.display()))
                .with_help(
                    "mainstay serve and mainstay migrate up make one; --data or --database name another",
                ));
        }
        self.open(config).await
    }

    async fn open(&self, config: &Config) -> Outcome<Repo> {
        let repo = open(config).await?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(repo.clone());
        Ok(repo)
    }

    /// Closes what the command opened: what it tells other processes is on its way until then.
    pub(crate) async fn close(&self) {
        let opened = std::mem::take(&mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner));
        for repo in opened {
            // What was asked for is committed; a database that does not answer any more keeps nobody.
            drop(tokio::time::timeout(CLOSE_LIMIT, repo.close()).await);
        }
    }

    /// Opens the database; makes it when it is not there.
    pub(crate) async fn open_or_make(&self, config: &Config) -> Outcome<Repo> {
        if config.database_is_default {
            prepare_data(&config.data)?;
        }
        self.open(config).await
    }

    /// Sign-in on the configured database, whose tables must be up to date.
    pub(crate) async fn sso(&self, config: &Config) -> Outcome<Sso> {
        let repo = self.existing(config).await?;
        for component in COMPONENTS {
            repo.migrator().require_latest(component).await?;
        }
        Ok(mainstay_server::sign_in(repo, config)?)
    }

    /// The runs of a namespace, whose tables must be up to date. A host application's database has them too, and need not have
    /// anything else of ours.
    pub(crate) async fn control(&self, config: &Config, namespace: &str) -> Outcome<Control> {
        let repo = self.existing(config).await?;
        repo.migrator().require_latest(&mainstay_workflow::store::COMPONENT).await?;
        Ok(Control::open(&repo, namespace).await?.acting(self.caller()?))
    }

    /// Who runs this command, for histories: the user's name, and without one their number, which the system knows.
    pub(crate) fn actor(&self) -> Outcome<Actor> {
        let named = |name: &str| self.environment(name).filter(|user| !user.trim().is_empty());
        let user = named("USER").or_else(|| named("LOGNAME"));
        // A text that could forge a line of a log is no name.
        let named = user.and_then(|user| Actor::new(format!("cli:{user}")).ok());
        let numbered = || Actor::new(format!("cli:uid:{}", rustix::process::getuid().as_raw()));
        named.map_or_else(numbered, Ok).map_err(|error| Failure::new(Exit::Usage, error))
    }

    /// Whoever may run this command on this machine may do everything, under their name.
    pub(crate) fn caller(&self) -> Outcome<Caller> {
        Ok(Caller::system(self.actor()?))
    }

    /// The same for sign-in.
    pub(crate) fn scope(&self) -> Outcome<Scope> {
        Ok(Scope::system(self.actor()?))
    }
}

/// The SQLite file that is not there. A command that only looks must not leave an empty one behind.
fn missing_file(config: &Config) -> Outcome<Option<PathBuf>> {
    let DatabaseUrl::Sqlite(sqlite) = DatabaseUrl::parse(config.database.expose())? else { return Ok(None) };
    let file = sqlite.path();
    // Opening tells more about a directory that is not there or may not be entered.
    let directory = std::path::absolute(file).ok().and_then(|file| file.parent().map(Path::is_dir));
    let openable = !config.database_is_default && directory != Some(true);
    Ok(Some(file).filter(|file| !openable && matches!(file.try_exists(), Ok(false))).map(Path::to_owned))
}

/// The URL that the server of this configuration has.
pub(crate) fn public_url(config: &Config) -> PublicUrl {
    config.public_url.clone().unwrap_or_else(|| PublicUrl::of_listener(config.listen, config.tls.is_some()))
}

fn flags(settings: &Settings, server: Option<&ServerSettings>) -> Vec<(&'static str, String)> {
    let mut flags: Vec<(&'static str, Option<String>)> = vec![
        ("data", settings.data.clone()),
        ("database", settings.database.clone()),
        ("public_url", settings.public_url.clone()),
    ];
    if let Some(server) = server {
        // A flag without a value can only switch on; what is not said leaves the other layers as they are.
        let on = |flag: bool| flag.then(|| "true".to_owned());
        flags.extend(server.images.flags());
        flags.extend([
            ("images_collect_every", server.images_collect_every.clone()),
            ("listen", server.listen.clone()),
            ("dev", on(server.dev)),
            ("allow_dev_on_network", on(server.allow_dev_on_network)),
            ("session_lifetime", server.session_lifetime.clone()),
            ("session_idle", server.session_idle.clone()),
            ("request_timeout", server.request_timeout.clone()),
            ("drain_timeout", server.drain_timeout.clone()),
            ("trusted_proxies", server.trusted_proxies.clone()),
            ("peers", server.peers.clone()),
            ("standbys", server.standbys.clone()),
            ("tls_certificate", server.tls_certificate.clone()),
            ("tls_key", server.tls_key.clone()),
            ("log", server.log.clone()),
            ("log_format", server.log_format.clone()),
            ("otlp_endpoint", server.otlp_endpoint.clone()),
        ]);
    }
    flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}
