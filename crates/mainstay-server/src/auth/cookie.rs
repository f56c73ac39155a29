//! The two cookies, over https and over plain http.
//!
//! Over https both are `__Host-` cookies: of this host alone, never sent in the clear. A browser takes neither `Secure` nor
//! `SameSite=None` over plain http (loopback is an exception that not every browser makes), so there the names say what they are.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// Which cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// Opens the session.
    Session,
    /// Ties a login to the browser that began it.
    Login,
}

/// How cookies are written for the scheme that browsers use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cookies {
    secure: bool,
}

impl Cookies {
    pub(crate) const fn new(secure: bool) -> Self {
        Self { secure }
    }

    pub(crate) const fn name(self, cookie: Cookie) -> &'static str {
        match (cookie, self.secure) {
            (Cookie::Session, true) => "__Host-mainstay",
            (Cookie::Session, false) => "mainstay-insecure",
            (Cookie::Login, true) => "__Host-mainstay-login",
            (Cookie::Login, false) => "mainstay-login-insecure",
        }
    }

    /// Whether the login cookie comes with a form that another site posts.
    pub(crate) const fn login_crosses_sites(self) -> bool {
        self.secure
    }

    /// The cookie's value, if the browser sent exactly one.
    ///
    /// Two of one name mean that somebody else set one of them (a sibling domain, over plain http); neither is believed.
    pub(crate) fn read(self, headers: &HeaderMap, cookie: Cookie) -> Option<&str> {
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name(cookie))
            .map(|(_, value)| value);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The header that sets a cookie.
    pub(crate) fn set(self, cookie: Cookie, value: &str, lifetime: Duration) -> Option<HeaderValue> {
        let same_site = match cookie {
            Cookie::Login if self.login_crosses_sites() => "None",
            Cookie::Login | Cookie::Session => "Lax",
        };
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={}{secure}",
            self.name(cookie),
            lifetime.as_secs()
        );
        HeaderValue::from_str(&text).ok()
    }

    /// The header that removes a cookie.
    pub(crate) fn clear(self, cookie: Cookie) -> Option<HeaderValue> {
        self.set(cookie, "", Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(secure: bool, cookie: Cookie) -> String {
        let header = Cookies::new(secure).set(cookie, "v", Duration::from_secs(5)).unwrap();
        header.to_str().unwrap().to_owned()
    }

    #[test]
    fn attributes_follow_the_scheme() {
        assert_eq!(
            set(true, Cookie::Session),
            "__Host-mainstay=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=5; Secure"
        );
        assert_eq!(
            set(true, Cookie::Login),
            "__Host-mainstay-login=v; Path=/; HttpOnly; SameSite=None; Max-Age=5; Secure"
        );
        assert_eq!(
            set(false, Cookie::Session),
            "mainstay-insecure=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=5"
        );
        assert_eq!(
            set(false, Cookie::Login),
            "mainstay-login-insecure=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=5"
        );
    }

    #[test]
    fn one_cookie_is_read_and_two_are_not() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::COOKIE, value.parse().unwrap());
            }
            Cookies::new(false).read(&headers, Cookie::Session).map(str::to_owned)
        };
        assert_eq!(read(&["a=b; mainstay-insecure=x; c"]), Some("x".to_owned()));
        assert_eq!(read(&["__Host-mainstay=x"]), None);
        assert_eq!(read(&["mainstay-insecure=x; mainstay-insecure=y"]), None);
        assert_eq!(read(&["mainstay-insecure=x", "mainstay-insecure=y"]), None);
        assert_eq!(read(&[]), None);
    }
}
