//! `mainstay doctor`: every finding at once, each with what mends it. It changes nothing.

mod images;

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use mainstay_core::{Clock as _, PageSize, SystemClock, Timestamp};
use mainstay_repo::{DatabaseUrl, Dialect, Durability, Repo, Topology as _};
use mainstay_server::{COMPONENTS, Config, DEVELOPMENT_ORGANIZATION, PublicUrl, sign_in};
use mainstay_sso::{CertificateState, Connection, ConnectionFilter, Sso, Status};
use serde::Serialize;

use crate::cli::args::Serve;
use crate::cli::context::{Context, public_url};
use crate::cli::exit::{Exit, Failure, Outcome};

/// A certificate that ends sooner is worth a warning: exchanging it takes two organizations.
const CERTIFICATE_WARNING: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Anybody but the owner.
const OTHERS: u32 = 0o077;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    message: String,
    mend: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    findings: Vec<Finding>,
    /// The gravest of what is bad.
    #[serde(skip)]
    worst: Option<Exit>,
}

impl Report {
    fn good(&mut self, check: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { check, verdict: Verdict::Good, message: message.into(), mend: None });
    }

    fn warning(&mut self, check: &'static str, message: impl Into<String>, mend: &str) {
        let mend = Some(mend.to_owned());
        self.findings.push(Finding { check, verdict: Verdict::Warning, message: message.into(), mend });
    }

    fn bad(&mut self, check: &'static str, failure: Failure) {
        let Failure { exit, message, help } = failure;
        self.worst = self.worst.max(Some(exit));
        self.findings.push(Finding { check, verdict: Verdict::Bad, message, mend: help });
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { check, verdict, message, mend } in &self.findings {
            let mark = match verdict {
                Verdict::Good => "ok",
                Verdict::Warning => "warning",
                Verdict::Bad => "BAD",
            };
            text.push_str(&format!("{mark:<8} {check:<14} {message}\n"));
            text.extend(mend.iter().map(|mend| format!("{:<23} mend: {mend}\n", "")));
        }
        text
    }
}

pub(super) async fn run(args: &Serve, context: &Context) -> Outcome {
    let mut report = Report::default();
    let loaded = context.load(&args.settings, Some(&args.server))?;
    for warning in &loaded.warnings {
        report.warning("configuration", warning.clone(), "see mainstay config check");
    }
    match loaded.into_config() {
        Ok(config) => {
            report.good("configuration", "every setting is in order");
            look(&config, context, &mut report).await;
        }
        Err(problems) => {
            for problem in problems {
                let message = format!("{} ({}): {}", problem.setting, problem.origin, problem.message);
                report.bad("configuration", Failure::new(Exit::Usage, message).with_help(problem.mend));
            }
        }
    }
    let bad = report.findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    context.output.result("mainstay.doctor/1", &report, || report.text());
    match report.worst {
        None => Ok(()),
        Some(worst) => Err(Failure::new(worst, format!("{bad} finding(s) keep the server from working"))),
    }
}

async fn look(config: &Config, context: &Context, report: &mut Report) {
    directory(config, report);
    let repo = match context.existing(config).await {
        Ok(repo) => repo,
        Err(failure) => return report.bad("database", failure),
    };
    database_file(config, report);
    match repo.position().await {
        Ok(position) => report.good("database", format!("{}, position {position}", repo.describe())),
        Err(error) => return report.bad("database", error.into()),
    }
    match repo.durability().await {
        Ok(Durability::Power) => report.good("durability", "what is acknowledged survives a loss of power"),
        Ok(_) => durability(&repo, report),
        Err(error) => return report.bad("durability", error.into()),
    }
    if !migrations(&repo, report).await {
        return;
    }
    if let Err(failure) = connections(repo.clone(), config, context, report).await {
        report.bad("connections", failure);
    }
    if let Err(failure) = images::look(repo, config, report).await {
        report.bad("images", failure);
    }
}

fn directory(config: &Config, report: &mut Report) {
    let shown = config.data.display();
    match std::fs::metadata(&config.data) {
        Ok(found) if found.permissions().mode() & OTHERS != 0 => {
            let mend = format!("chmod 700 {shown}");
            report.warning("data", format!("{shown} can be entered by other users"), &mend);
        }
        Ok(_) => report.good("data", format!("{shown} is its owner's only")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.good("data", format!("{shown} is not there yet; the first start makes it"));
        }
        Err(error) => {
            let failure = Failure::new(Exit::Refused, format!("{shown} cannot be looked at: {error}"));
            report.bad("data", failure.with_help("let this user enter it, or name another with --data"));
        }
    }
}

/// Sessions and secrets' hashes lie in it.
fn database_file(config: &Config, report: &mut Report) {
    let Ok(DatabaseUrl::Sqlite(sqlite)) = DatabaseUrl::parse(config.database.expose()) else { return };
    let open = std::fs::metadata(sqlite.path()).is_ok_and(|found| found.permissions().mode() & OTHERS != 0);
    if open {
        let shown = sqlite.path().display();
        let mend = format!("chmod 600 {shown}*");
        report.warning("database", format!("{shown} can be read by other users"), &mend);
    }
}

fn durability(repo: &Repo, report: &mut Report) {
    let (message, mend) = match repo.dialect() {
        Dialect::Postgres => (
            "fsync or full_page_writes is off: a loss of power can leave the database unreadable",
            "set fsync = on and full_page_writes = on in the server's postgresql.conf and reload it",
        ),
        _ => (
            "synchronous=normal: the last writes are lost when the power fails, and with them what was said to be done",
            "leave synchronous out of the database's URL, or write synchronous=full",
        ),
    };
    report.warning("durability", message, mend);
}

async fn migrations(repo: &Repo, report: &mut Report) -> bool {
    for component in COMPONENTS {
        if let Err(error) = repo.migrator().require_latest(component).await {
            report.bad("migrations", error.into());
            return false;
        }
        report.good("migrations", format!("{} is at version {}", component.name, component.latest()));
    }
    true
}

async fn connections(repo: Repo, config: &Config, context: &Context, report: &mut Report) -> Outcome {
    let sso = sign_in(repo, config)?;
    let filter = ConnectionFilter { status: Some(Status::Enabled), ..ConnectionFilter::default() };
    let size = PageSize::clamped(PageSize::MAX);
    let enabled = sso.connection_list(&context.scope()?, &filter, size, None).await?.items;
    if enabled.is_empty() {
        let mend = "mainstay sso connection add --metadata FILE|URL --enable";
        report.warning("connections", "none is enabled: nobody can sign in", mend);
    }
    for connection in &enabled {
        look_at(&sso, connection, &public_url(config), context, report).await?;
    }
    Ok(())
}

async fn look_at(
    sso: &Sso,
    connection: &Connection,
    url: &PublicUrl,
    context: &Context,
    report: &mut Report,
) -> Outcome {
    let name = format!("{} ({})", connection.id, connection.display_name);
    let is_development =
        connection.organization.as_ref().is_some_and(|it| it.as_str() == DEVELOPMENT_ORGANIZATION);
    if is_development {
        report.warning("connections", format!("{name} signs in test users"), "start without --dev");
        return Ok(());
    }
    if !connection.acs_url.starts_with(&url.join("/")) {
        let message = format!("{name} was made for {}, and the server is {url}", connection.acs_url);
        report.warning("connections", message, "set --public-url to that, or add the connection again");
    }
    let now = SystemClock.now();
    let all = sso.certificate_list(&context.scope()?, connection.id).await?;
    let active = all.iter().filter(|record| record.state == CertificateState::Active);
    let last = active.map(|record| record.not_after).max().unwrap_or(Timestamp::MIN);
    let mend = "import the identity provider's current metadata and activate its new certificate";
    if last < now {
        report.warning("certificates", format!("{name}: every certificate has expired"), mend);
    } else if last < now.saturating_add(CERTIFICATE_WARNING) {
        report.warning("certificates", format!("{name}: the last certificate expires at {last}"), mend);
    } else {
        report.good("connections", format!("{name} is enabled; its certificates last until {last}"));
    }
    Ok(())
}
