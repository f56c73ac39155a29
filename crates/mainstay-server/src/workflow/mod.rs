//! Workflows as the surface tells of them: the documents, the attempts of a run on a line of time, and what may be asked of them.
//!
//! Nothing here decides whether a run moves. That is `mainstay-workflow`'s, and the code of the steps is the host application's, which shares the
//! database.

pub(crate) mod command;
pub mod document;
mod error;
pub(crate) mod search;
pub mod settings;
pub mod timeline;

/// The namespace of hosts that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A namespace as it was asked for; that of hosts that name none when nothing was said.
pub(crate) fn named(namespace: Option<&str>) -> &str {
    namespace.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
}

/// What a link needs to stay in a namespace: nothing, or a query.
pub(crate) fn namespace_query(namespace: Option<&str>) -> String {
    match named(namespace) {
        DEFAULT_NAMESPACE => String::new(),
        name => format!("?namespace={}", encoded(name)),
    }
}

/// A value of a query.
pub(crate) fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_a_namespace_and_cannot_be_bent() {
        assert_eq!(namespace_query(Some("default")), "");
        assert_eq!(namespace_query(Some("shop&done=x")), "?namespace=shop%26done%3Dx");
    }
}
