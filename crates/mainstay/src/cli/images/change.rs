//! `mainstay images commit | fork | tag | untag | pin | rm`.

use std::io::Read;
use std::path::Path;

use mainstay_images::{
    BlobKind, Claim, CommitSet, Derive, Image, ImageRef, Images, NewImage, RefExpect, RefUpdate, WriterSpec,
};
use mainstay_server::images::document::{ImageLine, NameLine, named};
use serde::Serialize;

use super::args::{Commit, Name, Pin, Rm, Untag};
use super::{as_holder, find, one, open, progress, transfer};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};

#[derive(Serialize)]
struct ImageBody {
    image: ImageLine,
}

async fn print(images: &Images, image: &Image, schema: &str, context: &Context) -> Outcome {
    let body = ImageBody { image: ImageLine::read(images, image).await? };
    context
        .output
        .result(schema, &body, || format!("{}  {}\n", body.image.digest, body.image.names.join(" ")));
    Ok(())
}

/// An image of the file and what it changes.
pub(super) async fn commit(args: &Commit, context: &Context) -> Outcome {
    let images = open(&args.place, context).await?;
    let parent = match &args.parent {
        Some(parent) => Some(find(&images, parent).await?),
        None => None,
    };
    let file = file(&args.file)?;
    let made = as_holder(&images, context, async |node| {
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
    print(&images, &made, "mainstay.images.commit/1", context).await
}

fn file(path: &Path) -> Outcome<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = std::fs::File::open(path).map_err(|error| transfer::unreadable(path, &error))?;
    Ok(Box::new(file))
}

#[derive(Serialize)]
struct NameBody {
    image: String,
    #[serde(flatten)]
    name: NameLine,
}

fn print_name(schema: &str, image: &Image, name: mainstay_images::Reference, context: &Context) {
    let body = NameBody { image: named(&image.digest), name: name.into() };
    context.output.result(schema, &body, || format!("{}  {}\n", body.image, body.name.name));
}

pub(super) async fn fork(args: &Name, context: &Context) -> Outcome {
    let (images, image) = one(&args.one, context).await?;
    let forked = images.fork(&image.id.into(), &args.name).await.map_err(|error| {
        let help = "mainstay images tag moves a name that is there; untag removes it";
        let is_taken = matches!(error.kind(), mainstay_images::ErrorKind::Conflict);
        let failure = Failure::from(error);
        if is_taken {
            Failure::new(failure.exit, format!("the name {:?} is taken", args.name)).with_help(help)
        } else {
            failure
        }
    })?;
    print_name("mainstay.images.fork/1", &image, forked, context);
    Ok(())
}

pub(super) async fn tag(args: &Name, context: &Context) -> Outcome {
    let (images, image) = one(&args.one, context).await?;
    let name = images.tag(&image.id.into(), &args.name).await?;
    print_name("mainstay.images.tag/1", &image, name, context);
    Ok(())
}

pub(super) async fn untag(args: &Untag, context: &Context) -> Outcome {
    let images = open(&args.place, context).await?;
    let image = images.image(&ImageRef::Name(args.name.clone())).await?;
    let name = images.untag(&args.name).await?;
    print_name("mainstay.images.untag/1", &image, name, context);
    Ok(())
}

pub(super) async fn pin(args: &Pin, context: &Context) -> Outcome {
    let (images, image) = one(&args.one, context).await?;
    let image = images.pin(&image.id.into(), !args.off).await?;
    print(&images, &image, "mainstay.images.pin/1", context).await
}

#[derive(Serialize)]
struct Removed {
    digest: String,
    names: Vec<String>,
    size_bytes: u64,
}

/// Removes the name that the image was called by, all of them if asked, and the image; all or nothing, unless it is claimed in
/// between: then the names are there again.
pub(super) async fn remove(args: &Rm, context: &Context) -> Outcome {
    let (images, image) = one(&args.one, context).await?;
    let id: ImageRef = image.id.into();
    let mut names = Vec::new();
    for claim in images.explain(&id).await? {
        match claim {
            Claim::Name { name } if args.names || name == args.one.image => names.push(name),
            Claim::Unclaimed { .. } => {}
            claim => {
                let message = format!("the image sha256:{} is not removed: {claim}", image.digest);
                return Err(Failure::new(Exit::Refused, message).with_help(mend(&claim)));
            }
        }
    }
    for name in &names {
        images.untag(name).await?;
    }
    if let Err(error) = images.remove(&id).await {
        for name in &names {
            images.point(&id, name, RefExpect::Absent).await?;
        }
        return Err(error.into());
    }
    let body = Removed { digest: named(&image.digest), names, size_bytes: image.size_bytes };
    context.output.result("mainstay.images.rm/1", &body, || {
        format!("{}  removed; mainstay images gc gives back what no other image uses\n", body.digest)
    });
    Ok(())
}

fn mend(claim: &Claim) -> String {
    match claim {
        Claim::Name { name } => {
            format!("remove it too by --names, or alone by mainstay images untag {name}")
        }
        Claim::Pin => "take the pin away: mainstay images pin --off".to_owned(),
        Claim::Lease { .. } => "end its use, or wait until the lease runs out".to_owned(),
        Claim::Child { digest, .. } => format!("remove that one before: mainstay images rm {digest}"),
        _ => "mainstay images explain tells more".to_owned(),
    }
}
