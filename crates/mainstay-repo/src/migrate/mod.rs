//! Migrations: each component owns a numbered list, and brings its own tables up and down.
//!
//! | step | what happens |
//! |---|---|
//! | read | what is applied is read from `mainstay_migrations` |
//! | plan | pure: checksums, gaps and versions from the future are refused by name |
//! | step | one transaction a version: lock, read again, compare, run the SQL, record |
//!
//! Ten nodes may start at once: whoever comes second finds, inside its transaction, that the list has changed, and plans anew.

mod plan;

use aws_lc_rs::digest::{SHA256, digest};
use mainstay_core::Timestamp;

pub use self::plan::{Direction, PlannedStep, Target};

use crate::error::{Error, ErrorKind, MigrationProblem, Result};
use crate::repo::Repo;
use crate::statement::Dialect;

/// One version of a component's schema, with its SQL for both databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number: one more than the one before, from 1.
    pub version: u32,
    /// What it does, in a few words; shown in plans.
    pub name: &'static str,
    /// SQLite's SQL.
    pub sqlite: Script,
    /// PostgreSQL's SQL.
    pub postgres: Script,
}

impl Migration {
    /// The SQL of a dialect.
    #[must_use]
    pub const fn script(&self, dialect: Dialect) -> &Script {
        match dialect {
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        }
    }
}

/// The way up and the way down; each may hold several statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// From the version before to this one.
    pub up: &'static str,
    /// Back; none when what was there cannot be had back.
    pub down: Option<&'static str>,
}

impl Script {
    /// A step that can be undone.
    #[must_use]
    pub const fn reversible(up: &'static str, down: &'static str) -> Self {
        Self { up, down: Some(down) }
    }

    /// A step that cannot be undone.
    #[must_use]
    pub const fn irreversible(up: &'static str) -> Self {
        Self { up, down: None }
    }

    /// SHA-256 of the way up, in hexadecimal: what must not change once applied.
    #[must_use]
    pub fn checksum(&self) -> String {
        digest(&SHA256, self.up.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A component and the whole list of its migrations.
///
/// ```
/// use mainstay_repo::{Component, Migration, Script};
///
/// const NOTES: Component = Component {
///     name: "notes",
///     migrations: &[Migration {
///         version: 1,
///         name: "create notes",
///         sqlite: Script::reversible(
///             "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT",
///             "DROP TABLE notes",
///         ),
///         postgres: Script::reversible(
///             "CREATE TABLE notes (id bigserial PRIMARY KEY, body text NOT NULL)",
///             "DROP TABLE notes",
///         ),
///     }],
/// };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its name: the key in `mainstay_migrations`.
    pub name: &'static str,
    /// Its migrations, in order.
    pub migrations: &'static [Migration],
}

impl Component {
    /// The last version that the program knows; zero when there is none.
    #[must_use]
    pub fn latest(&self) -> u32 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }
}

/// A row of `mainstay_migrations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The version.
    pub version: u32,
    /// Its name when it was applied.
    pub name: String,
    /// The checksum of its way up when it was applied.
    pub checksum: String,
    /// When.
    pub applied_at: Timestamp,
    /// By which program (name, version and process).
    pub applied_by: String,
}

/// The format of `mainstay_migrations` and of what the drivers keep besides it. A database of a later format is refused
/// when it is opened; it says so by a row of this component.
pub(crate) const FORMAT: u32 = 1;
/// The component of that row.
pub(crate) const FORMAT_COMPONENT: &str = "mainstay-repo";

/// One step for a driver: run the script and record it, if what is applied is still what was planned on.
#[derive(Debug, Clone)]
pub(crate) struct MigrationStep {
    pub(crate) component: &'static str,
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    pub(crate) checksum: String,
    pub(crate) direction: Direction,
    pub(crate) script: &'static str,
    /// The versions that were applied when the step was planned, in order.
    pub(crate) planned_on: Vec<u32>,
    pub(crate) applied_by: String,
}

/// What a driver did with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepOutcome {
    /// The step is applied and recorded.
    Done,
    /// Somebody else changed the list; plan anew.
    Replan,
}

/// How far a component has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Whose.
    pub component: &'static str,
    /// The last applied version; zero when there is none.
    pub migrated: u32,
    /// The last version that the program knows.
    pub latest: u32,
    /// What is applied.
    pub applied: Vec<Applied>,
}

/// Migrates one database's components.
#[derive(Debug, Clone)]
pub struct Migrator {
    repo: Repo,
}

impl Repo {
    /// The migrator of this database.
    #[must_use]
    pub fn migrator(&self) -> Migrator {
        Migrator { repo: self.clone() }
    }
}

impl Migrator {
    /// How often a step is planned anew when others migrate at the same moment.
    const MAX_REPLANS: usize = 1_000;

    /// Brings a component to a target; does nothing when it is there. Says how many steps it took.
    ///
    /// # Errors
    /// [`ErrorKind::Migration`] with the problem; what was applied before the problem stays.
    pub async fn migrate(&self, component: &Component, target: Target) -> Result<usize> {
        let mut taken = 0;
        for _ in 0..Self::MAX_REPLANS {
            let applied = self.repo.engine().applied(component.name).await?;
            let steps = plan::plan(component, self.repo.dialect(), &applied, target)?;
            let Some(step) = steps.first() else { return Ok(taken) };
            let planned_on = applied.iter().map(|row| row.version).collect();
            if self.take(component, step, planned_on).await? == StepOutcome::Done {
                taken += 1;
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            format!("the migrations of {:?} keep changing under this one", component.name),
        )
        .with_help("let one program migrate at a time"))
    }

    /// Takes a component down to a version; zero removes it.
    ///
    /// # Errors
    /// As [`Migrator::migrate`]; a step without a way down is refused before anything runs.
    pub async fn down(&self, component: &Component, to: u32) -> Result<usize> {
        self.migrate(component, Target::DownTo(to)).await
    }

    /// The steps that migrating would take; changes nothing.
    ///
    /// # Errors
    /// As [`Migrator::migrate`].
    pub async fn plan(&self, component: &Component, target: Target) -> Result<Vec<PlannedStep>> {
        let applied = self.repo.engine().applied(component.name).await?;
        plan::plan(component, self.repo.dialect(), &applied, target)
    }

    /// How far a component has come.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the database cannot be asked.
    pub async fn status(&self, component: &Component) -> Result<MigrationStatus> {
        let applied = self.repo.engine().applied(component.name).await?;
        Ok(MigrationStatus {
            component: component.name,
            migrated: applied.last().map_or(0, |row| row.version),
            latest: component.latest(),
            applied,
        })
    }

    /// The last applied version of a component; zero when there is none.
    ///
    /// # Errors
    /// As [`Migrator::status`].
    pub async fn migrated_version(&self, component: &Component) -> Result<u32> {
        self.status(component).await.map(|status| status.migrated)
    }

    /// Checks that a component is exactly at the version that the program needs.
    ///
    /// # Errors
    /// [`ErrorKind::Migration`] with [`MigrationProblem::Pending`] when it is behind, or as [`Migrator::plan`].
    pub async fn require_latest(&self, component: &Component) -> Result<()> {
        let steps = self.plan(component, Target::Latest).await?;
        let Some(step) = steps.first() else { return Ok(()) };
        let problem =
            MigrationProblem::Pending { component: component.name.to_owned(), version: step.version };
        Err(Error::new(
            ErrorKind::Migration(problem),
            format!("the tables of {:?} lack migration {} ({})", component.name, step.version, step.name),
        )
        .with_help("run the migrations first: mainstay migrate up"))
    }

    async fn take(
        &self,
        component: &Component,
        step: &PlannedStep,
        planned_on: Vec<u32>,
    ) -> Result<StepOutcome> {
        let order = MigrationStep {
            component: component.name,
            version: step.version,
            name: step.name,
            checksum: step.checksum.clone(),
            direction: step.direction,
            script: step.sql,
            planned_on,
            applied_by: format!(
                "mainstay-repo {} (process {})",
                env!("CARGO_PKG_VERSION"),
                std::process::id()
            ),
        };
        let outcome =
            self.repo.engine().migrate_step(order).await.map_err(|error| failed(component, step, error))?;
        if outcome == StepOutcome::Done {
            tracing::info!(
                component = component.name,
                version = step.version,
                name = step.name,
                direction = step.direction.as_str(),
                "migrated"
            );
        }
        Ok(outcome)
    }
}

/// Names the migration in an error of the database about its SQL; other errors stay as they are.
fn failed(component: &Component, step: &PlannedStep, error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidInput
        | ErrorKind::Conflict { .. }
        | ErrorKind::Constraint { .. }
        | ErrorKind::NotFound
        | ErrorKind::Internal => {
            let problem =
                MigrationProblem::Failed { component: component.name.to_owned(), version: step.version };
            let message = format!(
                "migration {} ({}) of {:?} failed and is rolled back: {}",
                step.version,
                step.name,
                component.name,
                error.message()
            );
            Error::new(ErrorKind::Migration(problem), message).with_source(error)
        }
        _ => error,
    }
}
