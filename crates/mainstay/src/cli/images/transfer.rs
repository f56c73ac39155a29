//! `mainstay images import | export | pull | push`: OCI images in and out.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use mainstay_core::Secret;
use mainstay_images::oci::flatten::Ownership;
use mainstay_images::oci::registry::{Credentials, Proxies, RegistryOptions, Transport};
use mainstay_images::oci::{self, Container, Oci, Reference, Select};
use mainstay_images::{Commands, Image, ImageRef, Node};
use mainstay_server::images::document::{ImageLine, named};
use serde::Serialize;

use super::args::{self, Export, Flatten, Import, Platform, Pull, Push, Registry};
use super::list::size;
use super::progress::Copying;
use super::{as_holder, find, open, under};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};

/// The largest file with a password, in octets.
const MAX_PASSWORD: u64 = 64 * 1024;
/// Where a password may lie in the environment.
const PASSWORD: &str = "MAINSTAY_REGISTRY_PASSWORD";

#[derive(Serialize)]
struct Arrived {
    /// What was asked for first; an index is followed by what it names.
    images: Vec<ImageLine>,
}

/// Runs a copy with its bar.
async fn copy<T>(
    node: Node,
    context: &Context,
    message: &'static str,
    work: impl AsyncFnOnce(Oci) -> oci::Result<T>,
) -> Outcome<T> {
    let bar = Arc::new(Copying::new(context, message));
    let done = work(Oci::new(node).with_progress(Arc::clone(&bar) as _)).await;
    bar.end();
    Ok(done?)
}

async fn print_arrived(commands: &Commands, arrived: &[Image], schema: &str, context: &Context) -> Outcome {
    let mut lines = Vec::with_capacity(arrived.len());
    for image in arrived {
        lines.push(ImageLine::read(commands.look()?, image).await?);
    }
    let body = Arrived { images: lines };
    context
        .output
        .result(schema, &body, || body.images.iter().map(|line| called(&line.digest, &line.names)).collect());
    Ok(())
}

pub(super) async fn import(args: &Import, context: &Context) -> Outcome {
    let select = select(&args.platform)?;
    std::fs::metadata(&args.layout).map_err(|error| unreadable(&args.layout, &error))?;
    let commands = under(open(&args.place, context).await?, &args.fence, context)?;
    let mut import = match &args.tag {
        Some(tag) => oci::Import::tagged(tag),
        None if args.all => oci::Import::all(),
        None => oci::Import::only(),
    };
    import = import.platform(select);
    if let Some(name) = &args.name {
        import = import.named(name);
    }
    let arrived = as_holder(&commands, context, async |node| {
        copy(node, context, "importing", async |oci| oci.import(&args.layout, &import).await).await
    });
    let arrived = arrived.await?;
    print_arrived(&commands, &arrived, "mainstay.images.import/1", context).await
}

/// A digest and its names, if it has some.
pub(super) fn called(digest: &str, names: &[String]) -> String {
    format!("{digest}  {}", names.join(" ")).trim_end().to_owned() + "\n"
}

#[derive(Serialize)]
struct Exported {
    digest: String,
    path: String,
}

pub(super) async fn export(args: &Export, context: &Context) -> Outcome {
    has_directory(&args.path)?;
    let (commands, image, wanted) = outgoing(&args.one, context).await?;
    let is_archive = args.archive || args.path.extension().is_some_and(|extension| extension == "tar");
    let container = if is_archive { Container::Archive } else { Container::Directory };
    as_holder(&commands, context, async |node| {
        copy(node, context, "exporting", async |oci| oci.export(&wanted, &args.path, container).await).await
    })
    .await?;
    let body = Exported { digest: named(&image.digest), path: args.path.display().to_string() };
    context.output.result("mainstay.images.export/1", &body, || format!("{}  {}\n", body.digest, body.path));
    Ok(())
}

/// What is written somewhere needs a directory to be in.
fn has_directory(path: &Path) -> Outcome {
    let within = path.parent().filter(|within| !within.as_os_str().is_empty());
    match within.filter(|within| !within.is_dir()) {
        None => Ok(()),
        Some(within) => {
            let message = format!("there is no directory {}", within.display());
            Err(Failure::new(Exit::Usage, message).with_help("make it (mkdir), or name another place"))
        }
    }
}

#[derive(Serialize)]
struct Disk {
    image: String,
    /// The digest of the file: the same layers give the same.
    digest: String,
    size_bytes: u64,
    path: String,
}

pub(super) async fn flatten(args: &Flatten, context: &Context) -> Outcome {
    has_directory(&args.path)?;
    let (commands, image) = super::one(&args.one, context).await?;
    let mut options = oci::flatten::Flatten::default();
    if args.keep_owners {
        options.ownership = Ownership::Keep;
    }
    options.scratch.clone_from(&args.scratch);
    let made = as_holder(&commands, context, async |node| {
        let spinner = super::progress::spinner(context, "flattening");
        let made = Oci::new(node).flatten(&image.digest.into(), &args.path, &options).await;
        spinner.finish_and_clear();
        Ok(made?)
    })
    .await?;
    let body = Disk {
        image: named(&image.digest),
        digest: named(&made.digest),
        size_bytes: made.size,
        path: args.path.display().to_string(),
    };
    context.output.result("mainstay.images.flatten/1", &body, || {
        format!("{}  {}  {}\n", body.digest, size(body.size_bytes), body.path)
    });
    Ok(())
}

/// An image, and how it was asked for: an export lists it under that name.
async fn outgoing(one: &args::One, context: &Context) -> Outcome<(Commands, Image, ImageRef)> {
    let (commands, image) = super::one(one, context).await?;
    let wanted: ImageRef = one.image.parse()?;
    let wanted = match commands.look()?.find_image(&wanted).await? {
        Some(found) if found.id == image.id => wanted,
        _ => image.digest.into(),
    };
    Ok((commands, image, wanted))
}

pub(super) async fn pull(args: &Pull, context: &Context) -> Outcome {
    let reference: Reference = args.reference.parse()?;
    let (select, options) = (select(&args.platform)?, options(&args.registry, context)?);
    let name = args.name.clone().unwrap_or_else(|| reference.to_string());
    let commands = under(open(&args.place, context).await?, &args.fence, context)?;
    let arrived = as_holder(&commands, context, async |node| {
        let pull = async |oci: Oci| oci.pull(&reference, &select, Some(&name), &options).await;
        copy(node, context, "pulling", pull).await
    });
    let arrived = arrived.await?;
    print_arrived(&commands, &arrived, "mainstay.images.pull/1", context).await
}

#[derive(Serialize)]
struct Pushed {
    digest: String,
    reference: String,
}

pub(super) async fn push(args: &Push, context: &Context) -> Outcome {
    let reference: Reference = args.reference.parse()?;
    let options = options(&args.registry, context)?;
    let commands = open(&args.one.place, context).await?;
    let image = find(&commands, &args.one.image).await?;
    as_holder(&commands, context, async |node| {
        let (image, from) = (image.digest.into(), args.mount_from.as_deref());
        copy(node, context, "pushing", async |oci| oci.push(&image, &reference, from, &options).await).await
    })
    .await?;
    let body = Pushed { digest: named(&image.digest), reference: reference.to_string() };
    context
        .output
        .result("mainstay.images.push/1", &body, || format!("{}  {}\n", body.digest, body.reference));
    Ok(())
}

/// All platforms, or one.
fn select(of: &Platform) -> Outcome<Select> {
    let Some(text) = &of.platform else { return Ok(Select::All) };
    platform(text).map(Select::Platform)
}

/// `linux/arm64/v8`.
pub(super) fn platform(text: &str) -> Outcome<oci::Platform> {
    oci::Platform::parse(text).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{text:?} is no platform")).with_help("for example linux/amd64")
    })
}

fn options(registry: &Registry, context: &Context) -> Outcome<RegistryOptions> {
    let mut options = RegistryOptions::default();
    options.proxies = Proxies::from_environment(|name| context.environment(name));
    if let Some(user) = &registry.user {
        let password = match &registry.password_file {
            Some(file) => password(file)?,
            None => context.environment(PASSWORD).ok_or_else(|| {
                Failure::new(Exit::Usage, "--user needs a password")
                    .with_help(format!("give --password-file FILE, or set {PASSWORD}"))
            })?,
        };
        options.credentials = Credentials::Password { user: user.clone(), password: Secret::new(password) };
    }
    if registry.plain_http {
        options.transport = Transport::Http;
    }
    if let Some(file) = &registry.ca {
        options.trusted = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    }
    Ok(options)
}

fn password(file: &Path) -> Outcome<String> {
    let mut text = String::new();
    // One octet more than there may be, so that a longer one is seen.
    let most = MAX_PASSWORD + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    let read = read.map_err(|error| unreadable(file, &error))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_PASSWORD {
        let message = format!("{} has more than {MAX_PASSWORD} octets, which is no password", file.display());
        return Err(
            Failure::new(Exit::Usage, message).with_help("name the file that holds the password alone")
        );
    }
    // The line's end that editors add.
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("{} cannot be read: {error}", file.display()))
        .with_help("see that the path is right, and that you may read it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        let read = |octets: usize| {
            std::fs::write(&file, "p".repeat(octets)).unwrap();
            password(&file).map(|password| password.len())
        };
        let most = usize::try_from(MAX_PASSWORD).unwrap();
        assert_eq!(read(most).unwrap(), most);
        assert!(read(most + 1).is_err_and(|failure| failure.exit == Exit::Usage));
        std::fs::write(&file, "secret\r\n").unwrap();
        assert_eq!(password(&file).unwrap(), "secret");
    }

    #[test]
    fn platforms_are_read() {
        let read = |text: &str| select(&Platform { platform: Some(text.to_owned()) });
        assert_eq!(read("linux/amd64").unwrap(), Select::Platform(oci::Platform::new("linux", "amd64")));
        let Select::Platform(arm) = read("linux/arm64/v8").unwrap() else { panic!("a platform") };
        assert_eq!(arm.variant.as_deref(), Some("v8"));
        for wrong in ["linux", "linux/", "/amd64", "a/b/c/d"] {
            assert!(read(wrong).is_err_and(|failure| failure.exit == Exit::Usage), "{wrong}");
        }
    }
}
