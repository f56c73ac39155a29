//! `mainstay sso …`: thin over `mainstay-sso`'s commands.

mod add;
mod policy;
mod show;

use mainstay_core::PageSize;
use mainstay_server::Config;
use mainstay_sso::{
    Cause, Connection, ConnectionFilter, ConnectionId, ErrorKind, OrganizationId, Role, SessionsOnDisable,
    Sso, Status,
};
use serde::Serialize;

use super::args::{AdministratorCommand, ConnectionCommand, Disable, Grant, List, One, Settings, SsoCommand};
use super::context::Context;
use super::exit::{Exit, Failure, Outcome};
use super::output::table;

pub(super) async fn run(command: SsoCommand, context: &Context) -> Outcome {
    match command {
        SsoCommand::Connection { command } => match command {
            ConnectionCommand::Add(args) => add::run(&args, context).await,
            ConnectionCommand::List(args) => list(&args, context).await,
            ConnectionCommand::Show(args) => show::run(&args, context).await,
            ConnectionCommand::Policy(args) => policy::run(&args, context).await,
            ConnectionCommand::Enable(args) => enable(&args, context).await,
            ConnectionCommand::Disable(args) => disable(&args, context).await,
        },
        SsoCommand::Administrator { command } => match command {
            AdministratorCommand::Grant(args) => grant(&args, context).await,
            AdministratorCommand::List(settings) => administrators(&settings, context).await,
        },
    }
}

/// A connection as the command line prints it, version 1.
#[derive(Debug, Serialize)]
pub(super) struct ConnectionView {
    id: String,
    name: String,
    organization: Option<String>,
    status: &'static str,
    preset: &'static str,
    sp_entity_id: String,
    acs_url: String,
    metadata_url: String,
    idp_entity_id: Option<String>,
    idp_sso_url: Option<String>,
    version: i64,
    created_at: String,
    updated_at: String,
}

impl ConnectionView {
    pub(super) fn new(connection: &Connection) -> Self {
        Self {
            id: connection.id.to_string(),
            name: connection.display_name.clone(),
            organization: connection.organization.as_ref().map(ToString::to_string),
            status: connection.status.as_str(),
            preset: connection.preset.as_str(),
            sp_entity_id: connection.sp_entity_id.clone(),
            acs_url: connection.acs_url.clone(),
            // Where the connection was made to be served, whatever this command's own public URL is.
            metadata_url: connection.acs_url.strip_suffix("/acs").unwrap_or_default().to_owned()
                + "/metadata",
            idp_entity_id: connection.idp_entity_id.clone(),
            idp_sso_url: connection.idp_sso_url.clone(),
            version: connection.lock_version,
            created_at: connection.created_at.to_string(),
            updated_at: connection.updated_at.to_string(),
        }
    }

    pub(super) fn text(&self) -> String {
        let none = "–";
        let lines = [
            ("id", self.id.as_str()),
            ("name", &self.name),
            ("organization", self.organization.as_deref().unwrap_or(none)),
            ("status", self.status),
            ("preset", self.preset),
            ("identity provider", self.idp_entity_id.as_deref().unwrap_or(none)),
            ("sends users to", self.idp_sso_url.as_deref().unwrap_or(none)),
            ("our entity id", &self.sp_entity_id),
            ("our ACS URL", &self.acs_url),
            ("our metadata", &self.metadata_url),
        ];
        lines.iter().map(|(name, value)| format!("{name:<18} {value}\n")).collect()
    }
}

#[derive(Serialize)]
struct ConnectionBody {
    connection: ConnectionView,
}

#[derive(Serialize)]
struct ListBody {
    connections: Vec<ConnectionView>,
}

/// What helps with an id that leads nowhere.
const LIST: &str = "mainstay sso connection list shows the ids";

fn id(text: &str) -> Outcome<ConnectionId> {
    text.parse().map_err(|error| Failure::new(Exit::Usage, error).with_help(LIST))
}

/// The configuration and sign-in of a command about one connection, and the connection as it is now.
async fn one(args: &One, context: &Context) -> Outcome<(Config, Sso, Connection)> {
    let config = context.config(&args.settings, None)?;
    let sso = context.sso(&config).await?;
    let connection = sso.connection_show(&context.scope()?, id(&args.connection)?).await;
    let connection = connection.map_err(|error| {
        let is_missing = *error.kind() == ErrorKind::NotFound;
        let failure = Failure::from(error);
        if is_missing { failure.with_help(LIST) } else { failure }
    })?;
    Ok((config, sso, connection))
}

async fn list(args: &List, context: &Context) -> Outcome {
    let config = context.config(&args.settings, None)?;
    let sso = context.sso(&config).await?;
    let scope = context.scope()?;
    let filter = ConnectionFilter {
        organization: args.organization.as_deref().map(OrganizationId::new).transpose()?,
        status: args.status.as_deref().map(str::parse::<Status>).transpose()?,
        ..ConnectionFilter::default()
    };
    let mut connections = Vec::new();
    let mut cursor = None;
    loop {
        let size = PageSize::clamped(PageSize::MAX);
        let page = sso.connection_list(&scope, &filter, size, cursor.as_ref()).await?;
        connections.extend(page.items.iter().map(ConnectionView::new));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let body = ListBody { connections };
    context.output.result("mainstay.sso.connection.list/1", &body, || {
        let row = |view: &ConnectionView| {
            let organization = view.organization.clone().unwrap_or_else(|| "–".to_owned());
            vec![view.id.clone(), view.status.to_owned(), organization, view.name.clone()]
        };
        let rows: Vec<Vec<String>> = body.connections.iter().map(row).collect();
        table(&["ID", "STATUS", "ORGANIZATION", "NAME"], &rows)
    });
    Ok(())
}

async fn enable(args: &One, context: &Context) -> Outcome {
    let (_, sso, connection) = one(args, context).await?;
    let cause = Cause::new(args.why.cause.as_str())?;
    let connection = match connection.status {
        // Saying it twice is no error.
        Status::Enabled => connection,
        _ => sso.connection_enable(&context.scope()?, &cause, connection.id, connection.lock_version).await?,
    };
    let body = ConnectionBody { connection: ConnectionView::new(&connection) };
    context.output.result("mainstay.sso.connection.enable/1", &body, || body.connection.text());
    Ok(())
}

async fn disable(args: &Disable, context: &Context) -> Outcome {
    let (_, sso, connection) = one(&args.one, context).await?;
    let cause = Cause::new(args.one.why.cause.as_str())?;
    let sessions = if args.keep_sessions { SessionsOnDisable::Keep } else { SessionsOnDisable::Revoke };
    let connection = match connection.status {
        Status::Disabled => connection,
        _ => {
            let (scope, version) = (context.scope()?, connection.lock_version);
            sso.connection_disable(&scope, &cause, connection.id, version, sessions).await?
        }
    };
    let body = ConnectionBody { connection: ConnectionView::new(&connection) };
    context.output.result("mainstay.sso.connection.disable/1", &body, || body.connection.text());
    Ok(())
}

#[derive(Serialize)]
struct AdministratorView {
    connection: String,
    name_id: String,
    role: Role,
    organization: Option<String>,
}

#[derive(Serialize)]
struct AdministratorsBody {
    administrators: Vec<AdministratorView>,
}

async fn grant(args: &Grant, context: &Context) -> Outcome {
    let (_, sso, connection) = one(&args.one, context).await?;
    let cause = Cause::new(args.one.why.cause.as_str())?;
    let scope = context.scope()?;
    sso.administrator_grant(&scope, &cause, connection.id, &args.name_id, args.role, args.global).await?;
    print_administrators(&sso, context, "mainstay.sso.administrator.grant/1").await
}

async fn administrators(settings: &Settings, context: &Context) -> Outcome {
    let config = context.config(settings, None)?;
    let sso = context.sso(&config).await?;
    print_administrators(&sso, context, "mainstay.sso.administrator.list/1").await
}

async fn print_administrators(sso: &Sso, context: &Context, schema: &str) -> Outcome {
    let all = sso.administrator_list(&context.scope()?).await?;
    let administrators = all.into_iter().map(|administrator| AdministratorView {
        connection: administrator.connection.to_string(),
        name_id: administrator.name_id,
        role: administrator.role,
        organization: administrator.organization.map(|organization| organization.to_string()),
    });
    let body = AdministratorsBody { administrators: administrators.collect() };
    context.output.result(schema, &body, || {
        let row = |view: &AdministratorView| {
            let organization = view.organization.clone().unwrap_or_else(|| "all".to_owned());
            vec![view.name_id.clone(), view.role.to_string(), organization, view.connection.clone()]
        };
        let rows: Vec<Vec<String>> = body.administrators.iter().map(row).collect();
        table(&["NAME", "ROLE", "ORGANIZATION", "CONNECTION"], &rows)
    });
    Ok(())
}
