//! The arguments of every command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use mainstay_core::Role;

use super::images::args::{ImagesCommand, Store};
use super::workflow::args::WorkflowCommand;

/// The durable core of a control plane: data, sign-in, workflows and images on one database.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Print one JSON document in place of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 refused, 2 usage, 3 unavailable, 4 corrupt.\n\
    Every setting may also be given as MAINSTAY_<NAME> or in the file of --config.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: sign-in, console and API on one port
    Serve(Serve),
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Bring the database's tables up and down
    Migrate {
        #[command(subcommand)]
        command: MigrateCommand,
    },
    /// Connections to identity providers
    Sso {
        #[command(subcommand)]
        command: SsoCommand,
    },
    /// Runs of durable workflows, of any application on the database
    Workflow {
        #[command(subcommand)]
        command: WorkflowCommand,
    },
    /// Images: layers on disk, who uses them, and removing what nobody uses
    Images {
        #[command(subcommand)]
        command: ImagesCommand,
    },
    /// Look for what is wrong or soon will be, and say what mends it
    Doctor(Serve),
    /// Print the version
    Version,
}

/// Where the settings come from, and those that every command needs.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "MAINSTAY_CONFIG", hide_env = true)]
    pub(crate) config: Option<PathBuf>,
    /// Directory of the database file and the development keys [default: ./mainstay-data]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data: Option<String>,
    /// Database URL: sqlite:///path or postgres://… [default: sqlite://<data>/mainstay.db]
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// URL by which browsers and identity providers know the server [default: http://<listen>]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) server: ServerSettings,
}

/// The settings of the running server.
#[derive(Debug, Args)]
pub(crate) struct ServerSettings {
    /// Address and port to listen on [default: 127.0.0.1:7800]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Built-in identity provider with two test users; for development only
    #[arg(long)]
    pub(crate) dev: bool,
    /// Let --dev listen on an address that other machines reach
    #[arg(long)]
    pub(crate) allow_dev_on_network: bool,
    #[command(flatten)]
    pub(crate) images: Store,
    /// How often what no image uses is removed; never for not at all [default: 15m]
    #[arg(long, value_name = "TIME")]
    pub(crate) images_collect_every: Option<String>,
    /// How long a session lasts [default: 8h]
    #[arg(long, value_name = "TIME")]
    pub(crate) session_lifetime: Option<String>,
    /// How long a session lasts that is not used [default: 30m]
    #[arg(long, value_name = "TIME")]
    pub(crate) session_idle: Option<String>,
    /// How long a request may take [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub(crate) request_timeout: Option<String>,
    /// How long requests may take to end when the server goes down [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub(crate) drain_timeout: Option<String>,
    /// Addresses of reverse proxies whose X-Forwarded-For is believed
    #[arg(long, value_name = "ADDRESSES")]
    pub(crate) trusted_proxies: Option<String>,
    /// URLs of the nodes that run beside this one on the same database; on SQLite there may be none
    #[arg(long, value_name = "URLS")]
    pub(crate) peers: Option<String>,
    /// URLs of the nodes that stand by for this one; on SQLite it does not run beside one that serves
    #[arg(long, value_name = "URLS")]
    pub(crate) standbys: Option<String>,
    /// Certificate chain (PEM): speak TLS without a reverse proxy
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_certificate: Option<String>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Log filter, as in RUST_LOG [default: info]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Collector of OpenTelemetry that spans are sent to, such as http://localhost:4318
    #[arg(long, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting in force, where it comes from, and every problem at once
    Check(Serve),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Print how far each component has come
    Status(Settings),
    /// Print the steps that `up` would take; change nothing
    Plan(Plan),
    /// Apply what is pending
    Up(Up),
    /// Undo the steps of one component; what they made is lost
    Down(Down),
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Only this component
    #[arg(long)]
    pub(crate) component: Option<String>,
    /// To this version of it
    #[arg(long, requires = "component", value_name = "VERSION")]
    pub(crate) to: Option<u32>,
    /// Print the SQL as well
    #[arg(long)]
    pub(crate) sql: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Only this component
    #[arg(long)]
    pub(crate) component: Option<String>,
    /// To this version of it
    #[arg(long, requires = "component", value_name = "VERSION")]
    pub(crate) to: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Whose steps
    #[arg(long)]
    pub(crate) component: String,
    /// The version to go back to; 0 removes the component
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: u32,
    /// The component's name once more: its data is lost
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) confirm: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SsoCommand {
    /// Connections: one trust relation to an identity provider each
    Connection {
        #[command(subcommand)]
        command: ConnectionCommand,
    },
    /// Who may administrate after signing in
    Administrator {
        #[command(subcommand)]
        command: AdministratorCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Connect an identity provider by its metadata
    Add(Box<Add>),
    /// List connections
    List(List),
    /// Print a connection, its certificates and what it lacks
    Show(One),
    /// Print what a connection accepts, or change it
    Policy(Policy),
    /// Let people sign in through a connection
    Enable(One),
    /// Let nobody sign in through a connection
    Disable(Disable),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// A name for people [default: the host of its metadata's URL, or the file's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The tenant
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// The vendor: generic, okta, entra, google_workspace, adfs, keycloak
    #[arg(long, default_value = "generic")]
    pub(crate) preset: String,
    /// The identity provider's metadata: a file, - for standard input, or an https URL
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) metadata: String,
    /// Which entity to take when the metadata has several
    #[arg(long, value_name = "ID")]
    pub(crate) entity_id: Option<String>,
    /// Certificate (PEM file) that must have signed the metadata; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Vec<PathBuf>,
    /// Enable the connection at once
    #[arg(long)]
    pub(crate) enable: bool,
    /// Fetch metadata over plain http
    #[arg(long)]
    pub(crate) allow_http: bool,
    /// Fetch metadata from this machine or a private network
    #[arg(long)]
    pub(crate) allow_private: bool,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// What the audit records beside the change.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why, for the audit
    #[arg(long, default_value = "by the command line")]
    pub(crate) cause: String,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Only this tenant's
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// Only draft, enabled or disabled ones
    #[arg(long)]
    pub(crate) status: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The connection's id (conn_…)
    pub(crate) connection: String,
    #[command(flatten)]
    pub(crate) why: Why,
}

#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(flatten)]
    pub(crate) one: One,
    /// A field and its new value, as JSON or a text; may be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    pub(crate) one: One,
    /// Let the sessions that began by it go on
    #[arg(long)]
    pub(crate) keep_sessions: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdministratorCommand {
    /// Let somebody administrate after signing in through a connection
    Grant(Grant),
    /// List administrators
    List(Settings),
}

#[derive(Debug, Args)]
pub(crate) struct Grant {
    #[command(flatten)]
    pub(crate) one: One,
    /// The identity provider's name for them (NameID), as the signed-in page shows it
    #[arg(long, value_name = "NAME")]
    pub(crate) name_id: String,
    /// read, write or admin
    #[arg(long, default_value = "admin")]
    pub(crate) role: Role,
    /// Over all organizations, not only the connection's own
    #[arg(long)]
    pub(crate) global: bool,
}
