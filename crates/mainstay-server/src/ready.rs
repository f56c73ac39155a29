//! Whether users may be sent here: the database answers, it is still the one that was opened, and its tables are there.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use mainstay_repo::{DatabaseUrl, ErrorKind};

use crate::app::App;
use crate::config::Config;
use crate::images::ImageStore;
use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::start::COMPONENTS;

/// What SQLite adds to the name of the file for its write-ahead log.
const LOG_SUFFIX: &str = "-wal";

/// The files of a SQLite database as they were when the server started. A process keeps a file that it has open even when
/// somebody removes or replaces it: reading and writing go on, and everything written is lost with the process.
#[derive(Debug, Default)]
pub(crate) struct DatabaseFiles(Vec<(PathBuf, Identity)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl DatabaseFiles {
    /// Remembers the files of the configured database, which is open; none for a database that is not a file.
    pub(crate) fn of(config: &Config) -> Self {
        let Ok(DatabaseUrl::Sqlite(sqlite)) = DatabaseUrl::parse(config.database.expose()) else {
            return Self::default();
        };
        let mut log = sqlite.path().as_os_str().to_owned();
        log.push(LOG_SUFFIX);
        let files = [sqlite.path().to_owned(), PathBuf::from(log)];
        Self(files.into_iter().filter_map(|path| identity(&path).map(|identity| (path, identity))).collect())
    }

    /// The first file that is no longer at its path.
    fn lost(&self) -> Option<&Path> {
        let lost = self.0.iter().find(|(path, remembered)| identity(path) != Some(*remembered));
        lost.map(|(path, _)| path.as_path())
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let found = std::fs::metadata(path).ok()?;
    Some(Identity { device: found.dev(), inode: found.ino() })
}

/// Why users must not be sent here, or nothing. The text is for strangers as well: it names no path, the log does.
pub(crate) async fn check(app: &App) -> Result<(), Problem> {
    if app.is_draining() {
        return Err(Problem::new(ProblemKind::Draining, "Send users to another node."));
    }
    if let Some(file) = app.database_files().lost() {
        tracing::error!(file = %file.display(), "not ready: the database file was removed or replaced");
        return Err(not_ready(
            "The database file was removed or replaced under the running server, and what is written now is lost. \
             End the server, put the file back or restore a backup, and start it again.",
        ));
    }
    match tokio::time::timeout(limits::READY_TIMEOUT, tables(app)).await {
        Ok(answer) => answer?,
        Err(_elapsed) => return Err(not_ready("The database does not answer in time.")),
    }
    images(app).await
}

/// A directory that nobody asked for by name keeps no user away: most of them come for something else.
async fn images(app: &App) -> Result<(), Problem> {
    let settings = app.image_settings();
    let ImageStore::Open(images) = app.images() else { return Ok(()) };
    if settings.is_default {
        return Ok(());
    }
    // A mount that hangs is one that is not there.
    let proved = tokio::time::timeout(limits::READY_TIMEOUT, images.probe()).await;
    let why = match proved {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "it does not answer in time".to_owned(),
    };
    let directory = settings.directory.display();
    tracing::error!(%directory, why, "not ready: the directory of the images is not there");
    Err(not_ready(
        "The directory of the images is not there or is not this database's. Mount it again; nothing was deleted.",
    ))
}

async fn tables(app: &App) -> Result<(), Problem> {
    for component in COMPONENTS {
        let migrated = app.repo().migrator().migrated_version(component).await;
        let migrated = migrated.map_err(|error| unreadable(&error))?;
        // A later version is that of a newer node beside this one; the probe below tells whether it can be worked with.
        if migrated < component.latest() {
            let (name, latest) = (component.name, component.latest());
            tracing::error!(component = name, migrated, latest, "not ready: migrations were undone");
            return Err(not_ready(&format!(
                "The tables of {name} are at version {migrated} and this server needs {latest}. If a backup is to be \
                 restored, do that first; then run mainstay migrate up."
            )));
        }
    }
    app.sso().probe().await.map_err(|error| unreadable(&error))?;
    mainstay_workflow::store::probe(app.repo()).await.map_err(|error| unreadable(&error))
}

fn unreadable(error: &mainstay_repo::Error) -> Problem {
    tracing::warn!(%error, "not ready: the database cannot be read");
    not_ready(reason(error.kind()))
}

const fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Busy | ErrorKind::Timeout | ErrorKind::Closed => {
            "The database does not answer."
        }
        ErrorKind::Corrupt => {
            "The database is damaged. End the server, keep a copy of the files, and restore a backup."
        }
        ErrorKind::PermissionDenied => {
            "The database no longer lets this server's user read its tables. Grant the privileges again."
        }
        _ => {
            "Tables of the database are missing or are not those of this program. Restore a backup, or look with \
             mainstay migrate status; the log has the database's own words."
        }
    }
}

fn not_ready(detail: &str) -> Problem {
    Problem::new(ProblemKind::Unavailable, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Sources};

    #[test]
    fn a_file_is_known_by_what_it_is_and_not_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let url = format!("sqlite://{}", path("a.db").display());
        let flags = vec![("database", url)];
        let config = Loaded::from_sources(&Sources { flags, ..Sources::default() }).into_config().unwrap();
        std::fs::write(path("a.db"), "one").unwrap();
        std::fs::write(path("a.db-wal"), "log").unwrap();
        let files = DatabaseFiles::of(&config);
        assert_eq!(files.lost(), None);
        std::fs::write(path("a.db"), "grown").unwrap();
        assert_eq!(files.lost(), None, "its content is the database's own affair");
        for name in ["a.db", "a.db-wal"] {
            std::fs::rename(path(name), path("kept")).unwrap();
            assert_eq!(files.lost(), Some(path(name).as_path()));
            std::fs::copy(path("kept"), path(name)).unwrap();
            assert_eq!(files.lost(), Some(path(name).as_path()), "a copy is another file");
            std::fs::rename(path("kept"), path(name)).unwrap();
            assert_eq!(files.lost(), None);
        }
    }
}
