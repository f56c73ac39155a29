//! `mainstay images …`: thin over `mainstay-images`' commands. It works beside servers and other commands on the same store.

pub(in crate::cli) mod args;
mod care;
mod change;
mod lease;
mod list;
mod progress;
mod transfer;

use mainstay_images::{Digest, ErrorKind, Image, ImageRef, Images, Node};
use mainstay_server::images::open_images;

use self::args::{ImagesCommand, LeaseCommand, One, Place};
use super::context::Context;
use super::exit::{Exit, Failure, Outcome};

mainstay_core::typed_id! {
    /// Tells one run of a command from every other.
    pub(crate) struct CommandId("cmd");
}

/// What helps with a name that leads nowhere.
const LIST: &str = "mainstay images ls shows the names and digests";
/// The fewest digits that stand for a digest.
const MIN_DIGITS: usize = 6;

pub(super) async fn run(command: ImagesCommand, context: &Context) -> Outcome {
    match command {
        ImagesCommand::Ls(args) => list::images(&args, context).await,
        ImagesCommand::Inspect(one) => list::inspect(&one, context).await,
        ImagesCommand::Import(args) => transfer::import(&args, context).await,
        ImagesCommand::Export(args) => transfer::export(&args, context).await,
        ImagesCommand::Pull(args) => transfer::pull(&args, context).await,
        ImagesCommand::Push(args) => transfer::push(&args, context).await,
        ImagesCommand::Commit(args) => change::commit(&args, context).await,
        ImagesCommand::Fork(args) => change::fork(&args, context).await,
        ImagesCommand::Tag(args) => change::tag(&args, context).await,
        ImagesCommand::Untag(args) => change::untag(&args, context).await,
        ImagesCommand::Pin(args) => change::pin(&args, context).await,
        ImagesCommand::Rm(args) => change::remove(&args, context).await,
        ImagesCommand::Lease { command } => match command {
            LeaseCommand::Ls(place) => lease::list(&place, context).await,
            LeaseCommand::Holders(place) => lease::holders(&place, context).await,
            LeaseCommand::Hold(args) => lease::hold(&args, context).await,
            LeaseCommand::Run(args) => lease::run(&args, context).await,
        },
        ImagesCommand::Du(place) => list::usage(&place, context).await,
        ImagesCommand::Gc(args) => care::collect(&args, context).await,
        ImagesCommand::Scrub(args) => care::scrub(&args, context).await,
        ImagesCommand::Explain(one) => list::explain(&one, context).await,
        ImagesCommand::Graph(args) => list::graph(&args, context).await,
    }
}

/// The store, whose tables must be up to date. A host application's database has them too, and need not have anything else of
/// ours.
async fn open(place: &Place, context: &Context) -> Outcome<Images> {
    let config = context.config_with(&place.settings, &place.store.flags())?;
    let repo = context.existing(&config).await?;
    repo.migrator().require_latest(&mainstay_images::COMPONENT).await?;
    Ok(open_images(repo, &config).await?)
}

/// The store, and the image that is meant.
async fn one(one: &One, context: &Context) -> Outcome<(Images, Image)> {
    let images = open(&one.place, context).await?;
    let image = find(&images, &one.image).await?;
    Ok((images, image))
}

/// The image with a name, a digest, or the beginning of one.
async fn find(images: &Images, text: &str) -> Outcome<Image> {
    let wanted: ImageRef = text.parse()?;
    if let Some(image) = images.find_image(&wanted).await? {
        return Ok(image);
    }
    if let Some(digits) = beginning(text) {
        let found = beginning_with(images, digits).await?;
        match found.as_slice() {
            [] => {}
            [image] => return Ok(image.clone()),
            [one, other, ..] => {
                let message = format!("{text} begins several digests: {}, {}", one.digest, other.digest);
                return Err(Failure::new(Exit::Refused, message).with_help("give more of its digits"));
            }
        }
    }
    Err(Failure::new(Exit::Refused, format!("there is no image {wanted}")).with_help(LIST))
}

/// The digits, if a text reads as the beginning of a digest.
fn beginning(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hexadecimal = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    Some(digits).filter(|digits| is_hexadecimal && digits.len() >= MIN_DIGITS)
}

/// At most two images whose digest begins so.
async fn beginning_with(images: &Images, digits: &str) -> Outcome<Vec<Image>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = images.images(after, mainstay_images::MAX_PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.id);
        found.extend(page.into_iter().filter(|image| image.digest.to_string().starts_with(digits)));
        if found.len() > 1 {
            return Ok(found);
        }
    }
}

/// A digest that a text is.
fn digest(text: &str) -> Option<Digest> {
    text.strip_prefix("sha256:").unwrap_or(text).parse().ok()
}

/// Becomes a holder for as long as `work` takes. Whatever it claims is given back at once, also when it fails.
async fn as_holder<T, F>(images: &Images, context: &Context, work: impl FnOnce(Node) -> F) -> Outcome<T>
where
    F: Future<Output = Outcome<T>>,
{
    let name = format!("{} {}", context.actor(), CommandId::generate(&mainstay_core::SystemClock));
    let node = images.join(&name).await?;
    let done = work(node.clone()).await;
    // What was not given back runs out by itself.
    if let Err(error) = node.leave().await {
        context.output.warning(&format!("claims were not given back, and run out within a minute: {error}"));
    }
    done
}

impl From<mainstay_images::Error> for Failure {
    fn from(error: mainstay_images::Error) -> Self {
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
        Self { exit, message: error.message().to_owned(), help: error.help().map(str::to_owned) }
    }
}

impl From<mainstay_images::oci::Error> for Failure {
    fn from(error: mainstay_images::oci::Error) -> Self {
        use mainstay_images::oci::ErrorKind as Oci;
        let help = match error.kind() {
            Oci::Unauthorized => Some("give --user and --password-file"),
            Oci::NotFound => Some("see that the path or the reference is right"),
            Oci::Exists => Some("give a path at which nothing is yet"),
            Oci::Unavailable => Some("run it again later; what arrived is not fetched again"),
            Oci::Refused(_) => Some(
                "get the content again from where it was made, or have it made right; nothing of it was kept",
            ),
            _ => None,
        };
        let help = help.map(str::to_owned);
        Self { help, ..mainstay_images::Error::from(error).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_digest_is_told_from_a_name() {
        assert_eq!(beginning("sha256:0123ab"), Some("0123ab"));
        assert_eq!(beginning("0123ab"), Some("0123ab"));
        for name in ["0123a", "team/app:1", "0123AB", "sha256:", "latest"] {
            assert_eq!(beginning(name), None, "{name}");
        }
    }
}
