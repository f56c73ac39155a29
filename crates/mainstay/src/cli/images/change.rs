//! `mainstay images commit | fork | tag | untag | pin | rm`.

use std::io::Read;
use std::path::Path;

use mainstay_images::oci::{self, LayerContent, Oci};
use mainstay_images::{
    BlobKind, Claim, Commands, CommitSet, Derive, Image, ImageRef, Names, NewImage, RefExpect, RefUpdate,
    WriterSpec,
};
use mainstay_server::images::document::{ImageLine, NameLine, RemovedDocument, named};
use mainstay_server::images::is_layered;
use serde::Serialize;

use super::args::{Commit, Name, Pin, Rm, Untag};
use super::{as_holder, find, one, open, progress, transfer, under};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};

#[derive(Serialize)]
struct ImageBody {
    image: ImageLine,
}

async fn print(commands: &Commands, image: &Image, schema: &str, context: &Context) -> Outcome {
    let body = ImageBody { image: ImageLine::read(commands.look()?, image).await? };
    context.output.result(schema, &body, || transfer::called(&body.image.digest, &body.image.names));
    Ok(())
}

/// An image of the file and what it changes.
pub(super) async fn commit(args: &Commit, context: &Context) -> Outcome {
    let commands = under(open(&args.place, context).await?, &args.fence, context)?;
    let parent = match &args.parent {
        Some(parent) => Some(find(&commands, parent).await?),
        None => None,
    };
    let layered = match &parent {
        Some(parent) => is_layered(commands.look()?, parent).await?,
        None => args.platform.is_some(),
    };
    if layered {
        let made = layer(args, parent.as_ref(), &commands, context).await?;
        return print(&commands, &made, "mainstay.images.commit/1", context).await;
    }
    if args.platform.is_some() {
        let message = "--platform is for layers, and the parent is a disk";
        return Err(Failure::new(Exit::Usage, message).with_help("leave it out"));
    }
    let file = file(&args.file)?;
    let made = as_holder(&commands, context, async |node| {
        let spinner = progress::spinner(context, "writing");
        let kind = if parent.is_some() { BlobKind::Delta } else { BlobKind::Base };
        let ingest = node.ingest();
        let staged = ingest.put(WriterSpec::new(kind, args.media_type.as_str()), file).await?;
        spinner.finish_and_clear();
        let committed = match &parent {
            Some(parent) => {
                let name = args.name.clone().map(|name| (name, RefExpect::Any));
                let derive = Derive {
                    parent: parent.id,
                    delta: staged.digest,
                    label: args.label.clone(),
                    name,
                    guard: None,
                };
                ingest.derive(derive).await?
            }
            None => {
                let mut image = NewImage::chain(vec![staged.digest]);
                image.label.clone_from(&args.label);
                // A chain of one layer is called as that layer.
                let name = args.name.clone().map(|name| RefUpdate {
                    name,
                    image: staged.digest,
                    expect: RefExpect::Any,
                });
                let refs = name.into_iter().collect();
                ingest.commit(CommitSet { images: vec![image], refs, guard: None }).await?
            }
        };
        committed
            .images
            .into_iter()
            .next()
            .ok_or_else(|| Failure::new(Exit::Corrupt, "no image was returned"))
    });
    let made = made.await?;
    print(&commands, &made, "mainstay.images.commit/1", context).await
}

/// A layer over an image of documents and layers, with a manifest and a configuration of its own.
async fn layer(
    args: &Commit,
    parent: Option<&Image>,
    commands: &Commands,
    context: &Context,
) -> Outcome<Image> {
    let platform = args.platform.as_deref().map(transfer::platform).transpose()?;
    let content = if args.file.is_dir() {
        LayerContent::Directory(args.file.clone())
    } else {
        LayerContent::Archive(file(&args.file)?)
    };
    let mut commit = match (parent, platform) {
        (Some(parent), None) => oci::Commit::over(parent.id.into(), content),
        (Some(parent), Some(platform)) => oci::Commit::over(parent.id.into(), content).platform(platform),
        (None, Some(platform)) => oci::Commit::first(platform, content),
        (None, None) => return Err(Failure::new(Exit::Usage, "a layer needs --parent or --platform")),
    };
    if let Some(name) = &args.name {
        commit = commit.named(name, RefExpect::Any);
    }
    if let Some(label) = &args.label {
        commit = commit.labelled(label);
    }
    as_holder(commands, context, async |node| {
        let spinner = progress::spinner(context, "writing");
        let made = Oci::new(node).commit(commit).await;
        spinner.finish_and_clear();
        Ok(made?)
    })
    .await
}

fn file(path: &Path) -> Outcome<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = std::fs::File::open(path).map_err(|error| transfer::unreadable(path, &error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let message = format!("{} is a directory, and a disk is a file", path.display());
        return Err(Failure::new(Exit::Usage, message).with_help(
            "as a layer: give --parent and an image that was imported or pulled, or --platform for the first of a new one",
        ));
    }
    Ok(Box::new(file))
}

#[derive(Serialize)]
struct NameBody {
    image: String,
    #[serde(flatten)]
    name: NameLine,
}

/// The name and its image; what a person is told is up to what was done.
fn print_name(
    schema: &str,
    image: &Image,
    name: mainstay_images::Reference,
    told: impl FnOnce(&str, &str) -> String,
    context: &Context,
) {
    let body = NameBody { image: named(&image.digest), name: name.into() };
    context.output.result(schema, &body, || told(&body.name.name, &body.image));
}

fn points(name: &str, image: &str) -> String {
    format!("{image}  {name}\n")
}

pub(super) async fn fork(args: &Name, context: &Context) -> Outcome {
    let (commands, image) = one(&args.one, context).await?;
    let commands = under(commands, &args.fence, context)?;
    let forked = commands.fork(&image.id.into(), &args.name).await.map_err(|error| {
        let help = "mainstay images tag moves a name that is there; untag removes it";
        let is_taken = matches!(error.kind(), mainstay_images::ErrorKind::Conflict);
        let failure = Failure::from(error);
        if is_taken {
            Failure::new(failure.exit, format!("the name {:?} is taken", args.name)).with_help(help)
        } else {
            failure
        }
    })?;
    print_name("mainstay.images.fork/1", &image, forked, points, context);
    Ok(())
}

pub(super) async fn tag(args: &Name, context: &Context) -> Outcome {
    let (commands, image) = one(&args.one, context).await?;
    let commands = under(commands, &args.fence, context)?;
    let name = commands.tag(&image.id.into(), &args.name).await?;
    print_name("mainstay.images.tag/1", &image, name, points, context);
    Ok(())
}

pub(super) async fn untag(args: &Untag, context: &Context) -> Outcome {
    let commands = under(open(&args.place, context).await?, &args.fence, context)?;
    // Of an image that has the name, or of a name that is one: a digest removes no name.
    let no_name = || {
        Failure::new(Exit::Refused, format!("there is no name {}", args.name))
            .with_help("mainstay images ls shows the names; mainstay images rm removes an image")
    };
    let wanted: ImageRef = args.name.parse()?;
    let ImageRef::Name(_) = &wanted else { return Err(no_name()) };
    let image = commands.look()?.find_image(&wanted).await?.ok_or_else(no_name)?;
    let name = commands.untag(&args.name).await?;
    let told = |name: &str, image: &str| format!("the name {name} is removed; the image {image} stays\n");
    print_name("mainstay.images.untag/1", &image, name, told, context);
    Ok(())
}

pub(super) async fn pin(args: &Pin, context: &Context) -> Outcome {
    let (commands, image) = one(&args.one, context).await?;
    let commands = under(commands, &args.fence, context)?;
    let image = commands.pin(&image.id.into(), !args.off).await?;
    print(&commands, &image, "mainstay.images.pin/1", context).await
}

/// Removes the image, and with it the name that it was called by, or all of them if asked; all or nothing.
pub(super) async fn remove(args: &Rm, context: &Context) -> Outcome {
    let (commands, image) = one(&args.one, context).await?;
    let commands = under(commands, &args.fence, context)?;
    let id: ImageRef = image.id.into();
    // Tells what mends it. The removal looks again, in its own transaction.
    for claim in commands.look()?.explain(&id).await? {
        match claim {
            Claim::Name { name } if args.names || name == args.one.image => {}
            Claim::Unclaimed { .. } => {}
            claim => {
                let called = &args.one.image;
                let message = format!("the image sha256:{} is not removed: {claim}", image.digest);
                return Err(Failure::new(Exit::Refused, message).with_help(mend(&claim, called)));
            }
        }
    }
    let names = if args.names { Names::All } else { Names::Only(Some(&args.one.image)) };
    let body = RemovedDocument::from(commands.remove(&id, names).await?);
    context.output.result("mainstay.images.rm/1", &body, || {
        format!("{}  removed; mainstay images gc gives back what no other image uses\n", body.digest)
    });
    Ok(())
}

fn mend(claim: &Claim, called: &str) -> String {
    match claim {
        Claim::Name { name } => {
            format!("remove it too by --names, or alone by mainstay images untag {name}")
        }
        Claim::Pin => format!("take the pin away: mainstay images pin --off {called}"),
        Claim::Lease { .. } => {
            "end its use, or wait until the lease runs out; mainstay images lease revoke ends a holder that does not".to_owned()
        }
        Claim::Listed { digest, .. } => {
            format!("remove the index that lists it before, with its names: mainstay images rm --names sha256:{digest}")
        }
        Claim::Child { digest, .. } => format!("remove that one before: mainstay images rm {digest}"),
        _ => "mainstay images explain tells more".to_owned(),
    }
}
