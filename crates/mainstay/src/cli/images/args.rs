//! The arguments of `mainstay images …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::args::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// List images, the oldest first
    Ls(Listed),
    /// Print an image: its layers, names, leases, parents and children
    Inspect(One),
    /// Bring images of an OCI layout (a directory or an archive) into the store
    Import(Import),
    /// Write an image as an OCI layout, where nothing is yet
    Export(Export),
    /// Write all layers of an image as one read-only EROFS file system, where nothing is yet
    Flatten(Flatten),
    /// Bring an image of a registry into the store
    Pull(Pull),
    /// Send an image to a registry
    Push(Push),
    /// Make an image of a file: a whole disk, or changes to another image
    Commit(Commit),
    /// Begin a new name at an image; commits to it leave the other's names alone
    Fork(Name),
    /// Point a name at an image, whatever it pointed at before
    Tag(Name),
    /// Remove a name; the image stays
    Untag(Untag),
    /// Keep an image whatever the policy says, or no more
    Pin(Pin),
    /// Remove an image that nothing claims
    Rm(Rm),
    /// Leases: who uses which image
    Lease {
        #[command(subcommand)]
        command: LeaseCommand,
    },
    /// Print who uses how much: its own, shared, and what nobody uses
    Du(Place),
    /// Remove what no image uses
    Gc(Gc),
    /// Read everything again and set aside what is damaged
    Scrub(Scrub),
    /// List blobs that were found missing or wrong and what became of them, the newest first
    Findings(Listed),
    /// Say that the database was restored from a backup, before anything publishes
    Restored(Place),
    /// Say why an image or a blob is kept
    Explain(One),
    /// Draw which image comes from which
    Graph(Graph),
    /// List who did what, the newest first
    Acts(Acts),
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) store: Store,
}

/// The settings of the image store.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// Directory of the images' blobs; servers on one database share it [default: <data>/images]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) images: Option<String>,
    /// The most octets of all blobs, such as 200GiB [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub(crate) images_quota: Option<String>,
    /// How long an image is kept that nothing claims; forever for no end [default: 30d]
    #[arg(long, value_name = "TIME")]
    pub(crate) images_keep: Option<String>,
}

impl Store {
    /// The flags, by the names of their settings.
    pub(crate) fn flags(&self) -> [(&'static str, Option<String>); 3] {
        [
            ("images", self.images.clone()),
            ("images_quota", self.images_quota.clone()),
            ("images_keep", self.images_keep.clone()),
        ]
    }
}

/// Under which lease something is changed.
#[derive(Debug, Args)]
pub(crate) struct Fence {
    /// Change nothing once this lease is lost: what `lease hold` tells and `lease run` gives [default: $MAINSTAY_LEASE]
    #[arg(long, value_name = "LEASE")]
    pub(crate) lease: Option<String>,
}

/// A page of a list.
#[derive(Debug, Args)]
pub(crate) struct Listed {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many at most, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on where the page before ended: its `next`
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    pub(crate) place: Place,
    /// A name, a digest, or the first digits of one
    pub(crate) image: String,
}

/// Which of the images of an index.
#[derive(Debug, Args)]
pub(crate) struct Platform {
    /// Only the image for this platform, such as linux/amd64 [default: all]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "which", multiple = false, args = ["tag", "all"])]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) fence: Fence,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) platform: Platform,
    /// The layout: a directory, or a tar archive
    pub(crate) layout: PathBuf,
    /// The image that the layout names so, or with this digest [default: the only one]
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// All images, and the layout's list of them
    #[arg(long)]
    pub(crate) all: bool,
    /// What the store calls it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) one: One,
    /// Where to: a path at which nothing is yet
    pub(crate) path: PathBuf,
    /// A tar archive in place of a directory [default: when the path ends in .tar]
    #[arg(long)]
    pub(crate) archive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Flatten {
    #[command(flatten)]
    pub(crate) one: One,
    /// Where to: a path at which nothing is yet
    pub(crate) path: PathBuf,
    /// Give files to whom the layers say, which only root may; all to root otherwise
    #[arg(long)]
    pub(crate) keep_owners: bool,
    /// Where the layers are unpacked meanwhile [default: the directory of temporary files]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) scratch: Option<PathBuf>,
}

/// How a registry is spoken to.
#[derive(Debug, Args)]
pub(crate) struct Registry {
    /// Who we are; the password comes from a file or the environment
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File with the password; - for standard input
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// Speak plain http: everybody on the way can read the password
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Certificates (PEM) that are trusted beside those of this system
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    pub(crate) fence: Fence,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) registry: Registry,
    #[command(flatten)]
    pub(crate) platform: Platform,
    /// host[:port]/repository[:tag][@sha256:digest]
    pub(crate) reference: String,
    /// What the store calls it [default: the reference]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    #[command(flatten)]
    pub(crate) one: One,
    #[command(flatten)]
    pub(crate) registry: Registry,
    /// host[:port]/repository[:tag]
    pub(crate) reference: String,
    /// Another repository of the registry that may have some of the blobs
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) mount_from: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Commit {
    #[command(flatten)]
    pub(crate) fence: Fence,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The file; - for standard input. Over an image that was imported or pulled: a layer, as a tar archive or as a directory
    pub(crate) file: PathBuf,
    /// The image that the file changes [default: the file is a whole disk]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) parent: Option<String>,
    /// Of a parent for several platforms, which one; without a parent: the file is the first layer of an image for it
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// A name to point at the new image
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What a person calls it
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// What the file is
    #[arg(long, value_name = "TYPE", default_value = "application/octet-stream")]
    pub(crate) media_type: String,
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    #[command(flatten)]
    pub(crate) fence: Fence,
    #[command(flatten)]
    pub(crate) one: One,
    /// The name
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Untag {
    #[command(flatten)]
    pub(crate) fence: Fence,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The name
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Pin {
    #[command(flatten)]
    pub(crate) fence: Fence,
    #[command(flatten)]
    pub(crate) one: One,
    /// Take the pin away
    #[arg(long)]
    pub(crate) off: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    pub(crate) fence: Fence,
    #[command(flatten)]
    pub(crate) one: One,
    /// Remove all its names too, not only the one that it is called by here
    #[arg(long)]
    pub(crate) names: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// List leases, the oldest first
    Ls(Listed),
    /// List who leases or publishes, the oldest first
    Holders(Listed),
    /// Lease an image until this command is ended by SIGTERM or Ctrl-C
    Hold(Hold),
    /// Lease an image while another command runs
    Run(Run),
    /// Let a holder renew no more; what it holds is free when its time has run out
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The holder's epoch, which `lease holders` tells
    pub(crate) epoch: i64,
}

#[derive(Debug, Args)]
pub(crate) struct Hold {
    #[command(flatten)]
    pub(crate) one: One,
    /// What the image is used for; one lease for each
    #[arg(long, default_value = "cli")]
    pub(crate) key: String,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) hold: Hold,
    /// The command; it finds MAINSTAY_LEASE, under which `mainstay images` changes things, MAINSTAY_LEASE_TOKEN and MAINSTAY_LEASE_IMAGE.
    /// It is ended with all that it started when the lease is
    /// lost: by SIGTERM, and 5 seconds later by SIGKILL
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Gc {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print what would go; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Look at all blobs and all chains, not only at blobs that lost a use; nothing waits out its grace
    #[arg(long)]
    pub(crate) full: bool,
    /// Let go of images by the policy first: by age, quota and free space
    #[arg(long)]
    pub(crate) evict: bool,
    /// Make room for so much more than the policy keeps free
    #[arg(long, value_name = "SIZE", requires = "evict")]
    pub(crate) make_room: Option<String>,
    /// Hundredths of each piece of work's time to rest after it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) rest: u32,
    /// Collect nothing, here or elsewhere, for so long, such as 2h; at most 7d
    #[arg(long, value_name = "TIME", conflicts_with_all = ["dry_run", "full", "evict"])]
    pub(crate) pause: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Scrub {
    #[command(flatten)]
    pub(crate) place: Place,
    /// List the passes that were read to their end, the newest first; read nothing
    #[arg(long, conflicts_with_all = ["restart", "limit", "rest"])]
    pub(crate) history: bool,
    /// Begin anew, whatever was left of the last pass
    #[arg(long)]
    pub(crate) restart: bool,
    /// Stop after so many blobs; the next scrub goes on from there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Hundredths of each piece of work's time to rest after it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) rest: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Text,
    Svg,
    Dot,
}

#[derive(Debug, Args)]
pub(crate) struct Acts {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only what was done with one image; of one that is gone, its whole digest
    #[arg(long, value_name = "IMAGE", conflicts_with = "after")]
    pub(crate) image: Option<String>,
    /// How many at most, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on where the page before ended: its `next`
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    #[command(flatten)]
    pub(crate) place: Place,
    /// text for terminals, svg for pages, dot for Graphviz
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Form,
}
