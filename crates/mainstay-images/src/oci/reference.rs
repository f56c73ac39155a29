//! References to images in registries: `host[:port]/repository[:tag][@digest]`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::document::OciDigest;
use super::error::{Error, ErrorKind};
use super::refusal::shown;

/// The tag that is meant when there is neither tag nor digest.
const DEFAULT_TAG: &str = "latest";
/// The one name that is not that of the host which serves it.
const DOCKER_HUB: &str = "docker.io";
/// The host that serves it.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// A tag's longest form, by the distribution specification.
const MAX_TAG: usize = 128;
/// The longest host and repository together, as registries accept them.
const MAX_REPOSITORY: usize = 255;

/// Where an image is in a registry. The host is always written: a name never silently means somebody's public registry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// Host, and port if one is given.
    pub registry: String,
    /// The repository's path.
    pub repository: String,
    /// The tag, if one is given or meant.
    pub tag: Option<String>,
    /// The digest, if one is given: the content must have it whatever the tag says.
    pub digest: Option<OciDigest>,
}

impl Reference {
    /// The host that serves it. One name of the field is not that of its host.
    #[must_use]
    pub fn host(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_HOST } else { &self.registry }
    }

    /// The repository's path at its host, where that name of the field leaves a part of it out.
    #[must_use]
    pub fn path(&self) -> Cow<'_, str> {
        if self.registry == DOCKER_HUB && !self.repository.contains('/') {
            return Cow::Owned(format!("library/{}", self.repository));
        }
        Cow::Borrowed(&self.repository)
    }

    /// What a registry is asked for: the digest, else the tag.
    #[must_use]
    pub fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            let text = shown(text);
            Error::new(
                ErrorKind::Invalid,
                format!(
                    "{text:?} is no reference: {why}; write host[:port]/repository[:tag][@sha256:digest]"
                ),
            )
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| wrong("the digest is malformed"))?))
            }
            None => (text, None),
        };
        let (registry, path) = rest.split_once('/').ok_or_else(|| wrong("the host is missing"))?;
        if !is_registry(registry) {
            return Err(wrong("it does not start with a host"));
        }
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) if is_tag(tag) => (repository, Some(tag.to_owned())),
            Some(_) => return Err(wrong("the tag is malformed")),
            None => (path, digest.is_none().then(|| DEFAULT_TAG.to_owned())),
        };
        if !is_repository(repository) || rest.len() > MAX_REPOSITORY + 1 + MAX_TAG {
            return Err(wrong("the repository's name is malformed"));
        }
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), tag, digest })
    }
}

/// A host with a dot or a port, `localhost`, or an address: nothing that could be a repository.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|part| {
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            let inner = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            inner && edge(part.chars().next()) && edge(part.chars().next_back())
        }),
    };
    let port_ok = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let distinct = host.contains(['.', '[']) || port.is_some() || host == "localhost";
    host_ok && port_ok && distinct && text.len() <= MAX_REPOSITORY
}

/// Lowercase words between single separators, in components between slashes.
pub(super) fn is_repository(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let component = |component: &str| {
        // `_`, `__`, `.` and any number of dashes separate.
        let dashed = component.replace("__", "_");
        dashed
            .split(['_', '.', '-'])
            .enumerate()
            .all(|(at, part)| word(part) || (part.is_empty() && at > 0 && component.contains("--")))
            && !dashed.starts_with(['_', '.', '-'])
            && !dashed.ends_with(['_', '.', '-'])
            && !dashed.contains("..")
            && !dashed.contains("__")
    };
    text.len() <= MAX_REPOSITORY && text.split('/').all(component)
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=MAX_TAG).contains(&text.len())
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(text: &str, target: &str) {
        let found: Reference = text.parse().unwrap();
        assert_eq!(found.target(), target, "{text}");
    }

    #[test]
    fn references_are_read() {
        check("localhost/app", "latest");
        check("127.0.0.1:5000/team/app:1", "1");
        check("[::1]:5000/app:1.0-rc_2", "1.0-rc_2");
        check(&format!("r.example/a/b@{DIGEST}"), DIGEST);
        check(&format!("r.example/a/b:1@{DIGEST}"), DIGEST);
        check("r.example/a__b/c---d/e.f", "latest");
        check(&format!("r.example/a:{}", "t".repeat(MAX_TAG)), &"t".repeat(MAX_TAG));
        let text = format!("r.example:5000/a/b:1@{DIGEST}");
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
    }

    #[test]
    fn the_host_is_the_one_that_serves() {
        for (text, host, path) in [
            ("docker.io/alpine", "registry-1.docker.io", "library/alpine"),
            ("docker.io/team/app", "registry-1.docker.io", "team/app"),
            ("r.example/app", "r.example", "app"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((reference.host(), &*reference.path()), (host, path), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "app",
            "team/app",
            "r.example/",
            "r.example/App",
            "r.example/a//b",
            "r.example/../b",
            "r.example/a..b",
            "r.example/-a",
            "r.example/a:",
            "r.example/a:.b",
            "r.example/a@sha256:00",
            "r.example:0/a",
            "r.example:99999/a",
            "user@r.example/a",
            "r.example/a?b",
            "r.example/a b",
            "r_x.example/a",
            &format!("r.example/a:{}", "t".repeat(MAX_TAG + 1)),
            &format!("r.example/{}", "a".repeat(MAX_REPOSITORY + 1)),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
