//! Changing the tables: not under nodes that would go astray.

use mainstay_repo::{Direction, PlannedStep, Repo, Target};

use super::migrations::COMPONENT;
use super::nodes::{LIVE_WITHIN, live_nodes};
use crate::error::{Error, ErrorKind, Result};

/// The versions of the tables on which nodes of the version before go on as if nothing had happened. Any other one is refused beside them:
/// who adds a migration and knows that old nodes understand it adds its number here.
///
/// Not 4: a run's task may stand for another attempt than the one that it was made for, and a node that does not know that lets runs lie.
/// Not 5: a node that does not know of it writes timers that nobody finds by their definition until they are adopted.
/// Not 6: a node that does not know of it removes a run and leaves for ever what was done to it, and what its attributes were found by.
const UNDERSTOOD: &[u32] = &[1, 2, 3];

/// Brings the tables of workflows to a version, if no node is led astray by that: what a host calls before it starts its engine. Says how
/// many steps it took.
///
/// ```
/// # async fn example(repo: mainstay_repo::Repo) -> mainstay_workflow::Result<()> {
/// mainstay_workflow::migrate(&repo, mainstay_repo::Target::Latest).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::NodesAtWork`]: nodes of another version work on the tables, and nothing was changed. [`ErrorKind::Database`].
pub async fn migrate(repo: &Repo, target: Target) -> Result<usize> {
    refuse_beside_nodes(repo, &repo.migrator().plan(&COMPONENT, target).await?).await?;
    Ok(repo.migrator().migrate(&COMPONENT, target).await?)
}

/// Refuses steps that would lead nodes astray which work on the tables: every way down, and a way up that nodes of the version before do
/// not understand. Steps of other components are passed over.
///
/// A node counts as long as it was heard of within [`LIVE_WITHIN`]. One that begins between this look and the steps is not seen.
///
/// # Errors
/// [`ErrorKind::NodesAtWork`]; [`ErrorKind::Database`].
pub async fn refuse_beside_nodes(repo: &Repo, steps: &[PlannedStep]) -> Result<()> {
    let ours = || steps.iter().filter(|step| step.component == COMPONENT.name);
    let takes_away = |step: &&PlannedStep| {
        matches!(step.direction, Direction::Down) || !UNDERSTOOD.contains(&step.version)
    };
    // Before the first version there are no tables that a node could work on.
    let first = ours().any(|step| step.version == 1 && matches!(step.direction, Direction::Up));
    let Some(step) = ours().find(takes_away).filter(|_| !first) else { return Ok(()) };
    let live = live_nodes(repo).await?;
    if live.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = live
        .iter()
        .map(|node| {
            let seconds = node.silent_for.as_secs();
            format!("  {} in the namespace {}, heard of {seconds} s ago", node.name, node.namespace)
        })
        .collect();
    let (direction, version) = (step.direction.as_str(), step.version);
    let text = format!(
        "applications work on workflows in this database, and would not know what migration {version} ({}) {direction} makes of it:\n{}",
        step.name,
        lines.join("\n")
    );
    let help = format!(
        "end all of them, migrate, then start the new version; one that was killed counts for {} s more",
        LIVE_WITHIN.as_secs()
    );
    let nodes = live.into_iter().map(|node| node.name).collect();
    Err(Error::new(ErrorKind::NodesAtWork { nodes }, text).with_help(help))
}
