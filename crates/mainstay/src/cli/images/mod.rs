//! `mainstay images …`: thin over `mainstay-images`' commands. It works beside servers and other commands on the same store.

pub(in crate::cli) mod args;
mod care;
mod change;
mod family;
mod lease;
mod list;
mod progress;
mod scrub;
mod transfer;

use mainstay_images::oci::refusal::EntryRefusal;
use mainstay_images::oci::{self, Refusal};
use mainstay_images::{Commands, ErrorKind, Image, MIN_DIGITS, Node};
use mainstay_server::images::open_images;

use self::args::{Fence, ImagesCommand, LeaseCommand, One, Place};
use super::context::Context;
use super::exit::{Exit, Failure, Outcome};

/// What helps with a name that leads nowhere.
const LIST: &str =
    "mainstay images ls shows the names and digests; of a digest the first six digits are enough";
const _: () = assert!(MIN_DIGITS == 6, "the text above says so");

pub(super) async fn run(command: ImagesCommand, context: &Context) -> Outcome {
    match command {
        ImagesCommand::Ls(args) => list::images(&args, context).await,
        ImagesCommand::Inspect(one) => list::inspect(&one, context).await,
        ImagesCommand::Import(args) => transfer::import(&args, context).await,
        ImagesCommand::Export(args) => transfer::export(&args, context).await,
        ImagesCommand::Flatten(args) => transfer::flatten(&args, context).await,
        ImagesCommand::Pull(args) => transfer::pull(&args, context).await,
        ImagesCommand::Push(args) => transfer::push(&args, context).await,
        ImagesCommand::Commit(args) => change::commit(&args, context).await,
        ImagesCommand::Fork(args) => change::fork(&args, context).await,
        ImagesCommand::Tag(args) => change::tag(&args, context).await,
        ImagesCommand::Untag(args) => change::untag(&args, context).await,
        ImagesCommand::Pin(args) => change::pin(&args, context).await,
        ImagesCommand::Rm(args) => change::remove(&args, context).await,
        ImagesCommand::Lease { command } => match command {
            LeaseCommand::Ls(args) => lease::list(&args, context).await,
            LeaseCommand::Holders(args) => lease::holders(&args, context).await,
            LeaseCommand::Hold(args) => lease::hold(&args, context).await,
            LeaseCommand::Run(args) => lease::run(&args, context).await,
            LeaseCommand::Revoke(args) => lease::revoke(&args, context).await,
        },
        ImagesCommand::Du(place) => list::usage(&place, context).await,
        ImagesCommand::Gc(args) => care::collect(&args, context).await,
        ImagesCommand::Scrub(args) => scrub::scrub(&args, context).await,
        ImagesCommand::Findings(args) => scrub::findings(&args, context).await,
        ImagesCommand::Restored(place) => care::restored(&place, context).await,
        ImagesCommand::Explain(one) => list::explain(&one, context).await,
        ImagesCommand::Graph(args) => list::graph(&args, context).await,
        ImagesCommand::Acts(args) => list::acts(&args, context).await,
    }
}

/// The store, whose tables must be up to date. A host application's database has them too, and need not have anything else of
/// ours.
async fn open(place: &Place, context: &Context) -> Outcome<Commands> {
    let config = context.config_with(&place.settings, &place.store.flags())?;
    let repo = context.existing(&config).await?;
    repo.migrator().require_latest(&mainstay_images::COMPONENT).await?;
    Ok(open_images(repo, &config).await?.acting(context.caller()?))
}

/// Where the lease lies that a command was started under.
const LEASE: &str = "MAINSTAY_LEASE";

/// The same store, changed only while the lease is held that was given, or that this command was started under.
fn under(commands: Commands, fence: &Fence, context: &Context) -> Outcome<Commands> {
    match fence.lease.clone().or_else(|| context.environment(LEASE)) {
        Some(lease) => Ok(commands.under(lease.parse()?)),
        None => Ok(commands),
    }
}

/// The store, and the image that is meant.
async fn one(one: &One, context: &Context) -> Outcome<(Commands, Image)> {
    let commands = open(&one.place, context).await?;
    let image = find(&commands, &one.image).await?;
    Ok((commands, image))
}

/// The image with a name, a digest, or the beginning of one.
async fn find(commands: &Commands, text: &str) -> Outcome<Image> {
    commands.look()?.find(text).await.map_err(unfound)
}

/// Why a text means no image, or not one alone.
fn unfound(error: mainstay_images::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::from(error).with_help(LIST),
        // The arguments are well formed; with more digits they mean one.
        ErrorKind::Invalid { field: "digest" } => Failure { exit: Exit::Refused, ..error.into() },
        _ => error.into(),
    }
}

/// Becomes a holder for as long as `work` takes. Whatever it claims is given back at once, also when it fails.
async fn as_holder<T, F>(commands: &Commands, context: &Context, work: impl FnOnce(Node) -> F) -> Outcome<T>
where
    F: Future<Output = Outcome<T>>,
{
    let node = commands.join().await?;
    let done = work(node.clone()).await;
    // What was not given back runs out by itself.
    if let Err(error) = node.leave().await {
        context.output.warning(&format!("claims were not given back, and run out within a minute: {error}"));
    }
    done
}

impl From<mainstay_images::Error> for Failure {
    fn from(error: mainstay_images::Error) -> Self {
        of_store(&error)
    }
}

/// What the store said; of a database on which nothing may be written, what that said: asking again does not help.
fn of_store(error: &mainstay_images::Error) -> Failure {
    let database =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<mainstay_repo::Error>());
    if let Some(refused) = database.filter(|refused| *refused.kind() == mainstay_repo::ErrorKind::ReadOnly) {
        let help = refused.help().map(str::to_owned);
        return Failure { exit: Exit::Refused, message: refused.message().to_owned(), help };
    }
    let exit = match error.kind() {
        ErrorKind::Invalid { .. } | ErrorKind::Configuration => Exit::Usage,
        ErrorKind::Medium
        | ErrorKind::Busy
        | ErrorKind::Unavailable
        | ErrorKind::Unknown
        | ErrorKind::NoSpace => Exit::Unavailable,
        ErrorKind::Corrupt | ErrorKind::Incomplete | ErrorKind::Internal => Exit::Corrupt,
        _ => Exit::Refused,
    };
    Failure { exit, message: error.message().to_owned(), help: error.help().map(str::to_owned) }
}

impl From<oci::Error> for Failure {
    fn from(error: oci::Error) -> Self {
        let help = match error.kind() {
            // The proxy's user is none of the registry's; the text says where it is written.
            oci::ErrorKind::Proxy => {
                "HTTPS_PROXY=http://user:password@host:port; NO_PROXY names the registries that are reached without it"
            }
            oci::ErrorKind::Unauthorized => "give --user and --password-file",
            oci::ErrorKind::NotFound => "see that the path or the reference is right",
            oci::ErrorKind::OtherPlatform => {
                "give --platform and one that it is made for, or leave it out to take all of it"
            }
            oci::ErrorKind::Exists => "give a path at which nothing is yet",
            oci::ErrorKind::Unavailable => {
                "run it again later; what was transferred is not transferred again"
            }
            oci::ErrorKind::Io(_) => {
                "see that the directory is there, that you may write there, and that its disk has room"
            }
            oci::ErrorKind::MissingTool => "install it; Debian has mkfs.erofs in erofs-utils",
            oci::ErrorKind::NeedsPrivilege => {
                "do it as root; only of owners, leaving --keep-owners out is enough"
            }
            oci::ErrorKind::Refused(Refusal::Ambiguous { .. }) => {
                "give --tag and one that the layout's index.json has, or a digest of it; leave it out for the only image, or take --all"
            }
            // What people have instead of a layout.
            oci::ErrorKind::Refused(Refusal::NotALayout { .. } | Refusal::Archive { .. })
            | oci::ErrorKind::Refused(Refusal::Entry { why: EntryRefusal::Link, .. }) => {
                "give a directory or a whole, uncompressed tar archive with the files oci-layout and index.json; of what docker save \
                 wrote, skopeo copy docker-archive:FILE oci-archive:NEW.tar makes one"
            }
            oci::ErrorKind::Refused(_) => {
                "get the content again from where it was made, or have it made right; nothing of it was kept"
            }
            // Of a name that is none, say, the store knows better what mends it.
            oci::ErrorKind::Store => {
                let source = std::error::Error::source(&error);
                let said =
                    source.and_then(|source| source.downcast_ref::<mainstay_images::Error>()).map(of_store);
                return said.unwrap_or_else(|| mainstay_images::Error::from(error).into());
            }
            _ => return mainstay_images::Error::from(error).into(),
        };
        Self { help: Some(help.to_owned()), ..mainstay_images::Error::from(error).into() }
    }
}
