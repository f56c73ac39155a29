//! Which steps lead from what is applied to what is wanted. Pure.

use crate::error::{Error, ErrorKind, MigrationProblem, Result};
use crate::migrate::{Applied, Component, Migration};
use crate::statement::Dialect;

/// Where to migrate to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Up to the last version that the program knows.
    Latest,
    /// Up or down to a version; zero is before the first.
    Version(u32),
    /// Down to a version; refused when that would be up.
    DownTo(u32),
}

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// Apply.
    Up,
    /// Undo.
    Down,
}

impl Direction {
    /// A word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A step that would be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// Whose.
    pub component: &'static str,
    /// Which version is applied or undone.
    pub version: u32,
    /// The migration's name.
    pub name: &'static str,
    /// Whether it is applied or undone.
    pub direction: Direction,
    /// The SQL that will run.
    pub sql: &'static str,
    /// The checksum that is recorded with it.
    pub checksum: String,
}

/// The steps from `applied` to `target`, in order, or the reason why there is no way.
pub(super) fn plan(
    component: &Component,
    dialect: Dialect,
    applied: &[Applied],
    target: Target,
) -> Result<Vec<PlannedStep>> {
    check_list(component)?;
    check_applied(component, dialect, applied)?;
    let current = applied.last().map_or(0, |row| row.version);
    let wanted = match target {
        Target::Latest => component.latest(),
        Target::Version(version) => version,
        Target::DownTo(version) => version.min(current),
    };
    if wanted > component.latest()
        || matches!(target, Target::DownTo(version) if version > component.latest())
    {
        return Err(unknown_target(component, target));
    }
    if wanted >= current {
        return Ok(between(component, current, wanted).map(|step| up(component, dialect, step)).collect());
    }
    between(component, wanted, current).rev().map(|step| down(component, dialect, step)).collect()
}

fn between(component: &Component, after: u32, upto: u32) -> impl DoubleEndedIterator<Item = &Migration> {
    component.migrations.iter().filter(move |step| step.version > after && step.version <= upto)
}

fn up(component: &Component, dialect: Dialect, migration: &Migration) -> PlannedStep {
    let script = migration.script(dialect);
    PlannedStep {
        component: component.name,
        version: migration.version,
        name: migration.name,
        direction: Direction::Up,
        sql: script.up,
        checksum: script.checksum(),
    }
}

fn down(component: &Component, dialect: Dialect, migration: &Migration) -> Result<PlannedStep> {
    let Some(sql) = migration.script(dialect).down else {
        let problem = MigrationProblem::Irreversible {
            component: component.name.to_owned(),
            version: migration.version,
        };
        return Err(Error::new(
            ErrorKind::Migration(problem),
            format!(
                "migration {} ({}) of {:?} has no way down; nothing was undone",
                migration.version, migration.name, component.name
            ),
        )
        .with_help("restore a backup from before it was applied"));
    };
    Ok(PlannedStep { direction: Direction::Down, sql, ..up(component, dialect, migration) })
}

/// The program's list counts 1, 2, 3, … without a hole.
fn check_list(component: &Component) -> Result<()> {
    for (expected, migration) in (1_u32..).zip(component.migrations) {
        if migration.version != expected {
            return Err(gap(component, expected, "the program's list of migrations lacks a version"));
        }
    }
    Ok(())
}

/// What is applied is a prefix of the program's list, with the same texts.
fn check_applied(component: &Component, dialect: Dialect, applied: &[Applied]) -> Result<()> {
    let latest = component.latest();
    if let Some(future) = applied.iter().find(|row| row.version > latest) {
        let problem =
            MigrationProblem::FutureVersion { component: component.name.to_owned(), version: future.version };
        return Err(Error::new(
            ErrorKind::Migration(problem),
            format!(
                "the database has migration {} ({}) of {:?}; this program knows versions up to {latest}",
                future.version, future.name, component.name
            ),
        )
        .with_help("start the newer program, or take the database down with it first"));
    }
    for ((expected, row), migration) in (1_u32..).zip(applied).zip(component.migrations) {
        if row.version != expected {
            return Err(gap(component, expected, "the database lacks an applied version between others"));
        }
        let checksum = migration.script(dialect).checksum();
        if row.checksum != checksum {
            let problem = MigrationProblem::ChecksumChanged {
                component: component.name.to_owned(),
                version: row.version,
            };
            return Err(Error::new(
                ErrorKind::Migration(problem),
                format!(
                    "migration {} ({}) of {:?} was applied at {} with another text (checksum {}, now {checksum})",
                    row.version, row.name, component.name, row.applied_at, row.checksum
                ),
            )
            .with_help(
                "run the program (of the version) that migrated this database, or restore a backup that fits this one; whoever \
                 builds the program puts the old text back and adds a new migration for the change",
            ));
        }
    }
    Ok(())
}

fn gap(component: &Component, version: u32, what: &str) -> Error {
    let problem = MigrationProblem::Gap { component: component.name.to_owned(), version };
    Error::new(ErrorKind::Migration(problem), format!("{what}: {version} of {:?} is missing", component.name))
        .with_help("versions count 1, 2, 3, … ; restore the one that was removed")
}

fn unknown_target(component: &Component, target: Target) -> Error {
    let version = match target {
        Target::Version(version) | Target::DownTo(version) => version,
        Target::Latest => component.latest(),
    };
    let problem = MigrationProblem::UnknownTarget { component: component.name.to_owned(), version };
    Error::new(
        ErrorKind::Migration(problem),
        format!("{:?} has no migration {version}; the last is {}", component.name, component.latest()),
    )
}

#[cfg(test)]
mod tests {
    use mainstay_core::Timestamp;

    use super::*;
    use crate::migrate::Script;

    const fn migration(version: u32, up: &'static str, down: Option<&'static str>) -> Migration {
        let script = Script { up, down };
        Migration { version, name: "step", sqlite: script, postgres: script }
    }

    const THREE: Component = Component {
        name: "three",
        migrations: &[
            migration(1, "one", Some("undo one")),
            migration(2, "two", None),
            migration(3, "three", Some("undo three")),
        ],
    };

    fn applied(versions: &[u32]) -> Vec<Applied> {
        versions
            .iter()
            .map(|version| Applied {
                version: *version,
                name: "step".into(),
                checksum: THREE
                    .migrations
                    .iter()
                    .find(|migration| migration.version == *version)
                    .map_or_else(String::new, |migration| migration.sqlite.checksum()),
                applied_at: Timestamp::UNIX_EPOCH,
                applied_by: "test".into(),
            })
            .collect()
    }

    fn problem(component: &Component, rows: &[Applied], target: Target) -> MigrationProblem {
        match plan(component, Dialect::Sqlite, rows, target).unwrap_err().kind() {
            ErrorKind::Migration(problem) => problem.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn sql(rows: &[Applied], target: Target) -> Vec<&'static str> {
        plan(&THREE, Dialect::Sqlite, rows, target).unwrap().iter().map(|step| step.sql).collect()
    }

    #[test]
    fn ways_up_and_down() {
        assert_eq!(sql(&[], Target::Latest), ["one", "two", "three"]);
        assert_eq!(sql(&applied(&[1]), Target::Version(2)), ["two"]);
        assert_eq!(sql(&applied(&[1, 2, 3]), Target::Latest), [""; 0]);
        assert_eq!(sql(&applied(&[1, 2, 3]), Target::DownTo(2)), ["undo three"]);
        assert_eq!(sql(&applied(&[1]), Target::DownTo(0)), ["undo one"]);
        assert_eq!(sql(&applied(&[1]), Target::DownTo(3)), [""; 0]);
    }

    #[test]
    fn each_problem_is_named() {
        let named = || "three".to_owned();
        assert_eq!(
            problem(&THREE, &applied(&[1, 2, 3]), Target::DownTo(1)),
            MigrationProblem::Irreversible { component: named(), version: 2 }
        );
        assert_eq!(
            problem(&THREE, &[], Target::Version(4)),
            MigrationProblem::UnknownTarget { component: named(), version: 4 }
        );
        assert_eq!(
            problem(&THREE, &applied(&[1, 2, 3, 4]), Target::Latest),
            MigrationProblem::FutureVersion { component: named(), version: 4 }
        );
        assert_eq!(
            problem(&THREE, &applied(&[1, 3]), Target::Latest),
            MigrationProblem::Gap { component: named(), version: 2 }
        );
        let mut changed = applied(&[1]);
        changed[0].checksum = "other".into();
        assert_eq!(
            problem(&THREE, &changed, Target::Latest),
            MigrationProblem::ChecksumChanged { component: named(), version: 1 }
        );
        const HOLED: Component = Component { name: "three", migrations: &[migration(2, "two", None)] };
        assert_eq!(
            problem(&HOLED, &[], Target::Latest),
            MigrationProblem::Gap { component: named(), version: 1 }
        );
    }
}
