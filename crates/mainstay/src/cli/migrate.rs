//! `mainstay migrate status|plan|up|down`.

use mainstay_repo::{Component, Direction, PlannedStep, Repo, Target};
use mainstay_server::{COMPONENTS, StartError, claim, only_here};
use mainstay_workflow::store::refuse_beside_nodes;
use serde::Serialize;

use super::args::{Down, MigrateCommand, Plan, Settings, Up};
use super::context::Context;
use super::exit::{Exit, Failure, Outcome};
use super::output::table;

pub(super) async fn run(command: MigrateCommand, context: &Context) -> Outcome {
    match command {
        MigrateCommand::Status(settings) => status(&settings, context).await,
        MigrateCommand::Plan(args) => plan(&args, context).await,
        MigrateCommand::Up(args) => up(&args, context).await,
        MigrateCommand::Down(args) => down(&args, context).await,
    }
}

#[derive(Serialize)]
struct Status {
    database: String,
    components: Vec<ComponentStatus>,
}

#[derive(Serialize)]
struct ComponentStatus {
    component: &'static str,
    /// The last applied version; 0 for none.
    migrated: u32,
    latest: u32,
    applied: Vec<AppliedStep>,
}

#[derive(Serialize)]
struct AppliedStep {
    version: u32,
    name: String,
    applied_at: String,
    applied_by: String,
}

async fn status(settings: &Settings, context: &Context) -> Outcome {
    let config = context.config(settings, None)?;
    let repo = context.existing(&config).await?;
    let mut components = Vec::new();
    for component in COMPONENTS {
        let status = repo.migrator().status(component).await?;
        let applied = status.applied.into_iter().map(|step| AppliedStep {
            version: step.version,
            name: step.name,
            applied_at: step.applied_at.to_string(),
            applied_by: step.applied_by,
        });
        components.push(ComponentStatus {
            component: status.component,
            migrated: status.migrated,
            latest: status.latest,
            applied: applied.collect(),
        });
    }
    let body = Status { database: repo.describe().to_owned(), components };
    context.output.result("mainstay.migrate.status/1", &body, || status_text(&body));
    Ok(())
}

fn status_text(body: &Status) -> String {
    let row = |status: &ComponentStatus| {
        let state = match status.latest.checked_sub(status.migrated) {
            Some(0) => "up to date".to_owned(),
            Some(pending) => format!("{pending} pending"),
            None => "newer than this program".to_owned(),
        };
        vec![status.component.to_owned(), status.migrated.to_string(), status.latest.to_string(), state]
    };
    let rows: Vec<Vec<String>> = body.components.iter().map(row).collect();
    format!("{}\n\n{}", body.database, table(&["COMPONENT", "APPLIED", "LATEST", "STATE"], &rows))
}

#[derive(Serialize)]
struct Steps {
    database: String,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    component: &'static str,
    version: u32,
    name: &'static str,
    direction: &'static str,
    sql: &'static str,
}

impl Steps {
    fn new(repo: &Repo, steps: Vec<PlannedStep>) -> Self {
        Self { database: repo.describe().to_owned(), steps: steps.into_iter().map(Step::from).collect() }
    }
}

impl From<PlannedStep> for Step {
    fn from(step: PlannedStep) -> Self {
        let direction = step.direction.as_str();
        Self { component: step.component, version: step.version, name: step.name, direction, sql: step.sql }
    }
}

async fn plan(args: &Plan, context: &Context) -> Outcome {
    let config = context.config(&args.settings, None)?;
    let repo = context.existing(&config).await?;
    let steps = planned(&repo, &chosen(args.component.as_deref())?, target(args.to)).await?;
    let body = Steps::new(&repo, steps);
    context.output.result("mainstay.migrate.plan/1", &body, || steps_text("Would take", &body, args.sql));
    Ok(())
}

async fn up(args: &Up, context: &Context) -> Outcome {
    let config = context.config(&args.settings, None)?;
    let repo = context.open_or_make(&config).await?;
    only_here(&config, &repo).await?;
    let components = chosen(args.component.as_deref())?;
    let steps = planned(&repo, &components, target(args.to)).await?;
    if let Some(step) = steps.iter().find(|step| step.direction == Direction::Down) {
        return Err(Failure::new(
            Exit::Refused,
            format!("that would undo version {} of {}", step.version, step.component),
        )
        .with_help("mainstay migrate down undoes steps, after a confirmation"));
    }
    refuse_beside_nodes(&repo, &steps).await?;
    for component in components {
        repo.migrator().migrate(component, target(args.to)).await?;
    }
    let body = Steps::new(&repo, steps);
    context.output.result("mainstay.migrate.up/1", &body, || steps_text("Took", &body, false));
    Ok(())
}

async fn down(args: &Down, context: &Context) -> Outcome {
    let config = context.config(&args.settings, None)?;
    let repo = context.existing(&config).await?;
    let components = chosen(Some(&args.component))?;
    let steps = planned(&repo, &components, Target::DownTo(args.to)).await?;
    let body = Steps::new(&repo, steps.clone());
    if !body.steps.is_empty() && args.confirm.as_deref() != Some(&args.component) {
        let what = steps_text("This would take", &body, false);
        return Err(Failure::new(
            Exit::Refused,
            format!("{}\nand lose the data of these tables.", what.trim_end()),
        )
        .with_help(format!("say --confirm {} to do it", args.component)));
    }
    refuse_beside_nodes(&repo, &steps).await?;
    only_here(&config, &repo).await?;
    let claim = claim(&config, &repo).await.map_err(|error| match error {
        StartError::Served(file) => {
            Failure::new(Exit::Refused, format!("a server runs on {}", file.display()))
                .with_help("end it first: it would go on without its tables")
        }
        other => other.into(),
    })?;
    let undone = undo(&repo, &components, args.to).await;
    claim.release().await;
    undone?;
    context.output.result("mainstay.migrate.down/1", &body, || steps_text("Took", &body, false));
    Ok(())
}

async fn undo(repo: &Repo, components: &[&Component], to: u32) -> Outcome {
    for component in components {
        repo.migrator().down(component, to).await?;
    }
    Ok(())
}

const fn target(to: Option<u32>) -> Target {
    match to {
        Some(version) => Target::Version(version),
        None => Target::Latest,
    }
}

fn chosen(name: Option<&str>) -> Outcome<Vec<&'static Component>> {
    let Some(name) = name else { return Ok(COMPONENTS.iter().collect()) };
    let found: Vec<&Component> = COMPONENTS.iter().filter(|component| component.name == name).collect();
    if found.is_empty() {
        let names: Vec<&str> = COMPONENTS.iter().map(|component| component.name).collect();
        return Err(Failure::new(Exit::Usage, format!("no component is named {name:?}"))
            .with_help(format!("there are: {}", names.join(", "))));
    }
    Ok(found)
}

async fn planned(repo: &Repo, components: &[&Component], target: Target) -> Outcome<Vec<PlannedStep>> {
    let mut steps = Vec::new();
    for component in components {
        steps.extend(repo.migrator().plan(component, target).await?);
    }
    Ok(steps)
}

fn steps_text(did: &str, body: &Steps, sql: bool) -> String {
    if body.steps.is_empty() {
        return format!("{}: nothing to do", body.database);
    }
    let mut text = format!("{}\n{did} {} step(s):\n", body.database, body.steps.len());
    for step in &body.steps {
        let Step { component, version, name, direction, .. } = step;
        text.push_str(&format!("  {direction} {component} {version}: {name}\n"));
        if sql {
            text.extend(step.sql.lines().map(|line| format!("      {line}\n")));
        }
    }
    text
}
