//! A small HTTP client with a cookie jar for each host: what a browser does, visible step by step.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Remembers cookies by host. A browser ignores the port; so does this.
#[derive(Debug, Default, Clone)]
pub(crate) struct Browser {
    jar: BTreeMap<(String, String), String>,
    /// Headers that are sent with every request.
    pub(crate) extra: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The body as it came, for what is no text.
    pub(crate) octets: Vec<u8>,
    /// Where it came from.
    pub(crate) url: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn location(&self) -> String {
        let location = self.header("location").unwrap_or_else(|| panic!("no redirect: {self:?}"));
        absolute(&self.url, location)
    }

    /// The header that sets a cookie.
    pub(crate) fn set_cookie(&self, name: &str) -> Option<&str> {
        let start = format!("{name}=");
        self.headers
            .iter()
            .find(|(key, value)| key == "set-cookie" && value.starts_with(&start))
            .map(|(_, value)| value.as_str())
    }
}

impl Browser {
    pub(crate) fn get(&mut self, url: &str) -> Answer {
        self.send("GET", url, &[], "")
    }

    pub(crate) fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        self.send("POST", url, &[kind], &body.join("&"))
    }

    /// Follows redirects to the last page.
    pub(crate) fn follow(&mut self, mut answer: Answer) -> Answer {
        for _ in 0..10 {
            if !(300..400).contains(&answer.status) {
                return answer;
            }
            answer = self.get(&answer.location());
        }
        panic!("redirects without end: {answer:?}");
    }

    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.jar.get(&(host.to_owned(), name.to_owned())).map(String::as_str)
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.jar.retain(|(_, key), _| key != name);
    }

    pub(crate) fn send(&mut self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send_octets(method, url, headers, body.as_bytes())
    }

    pub(crate) fn send_octets(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not plain http"));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.split(':').next().unwrap().to_owned();
        let mut request = format!(
            "{method} {} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n",
            if path.is_empty() { "/" } else { path }
        );
        let cookies: Vec<String> = self
            .jar
            .iter()
            .filter(|((of, _), _)| *of == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
        }
        let extra = self.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in headers.iter().copied().chain(extra) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let answer = exchange(authority, &[request.as_bytes(), body].concat(), url);
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            self.keep(&host, cookie);
        }
        answer
    }

    fn keep(&mut self, host: &str, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
        // Plain http: a browser on another host than loopback would not take it.
        assert!(!attributes.contains(&"secure".to_owned()), "a Secure cookie over plain http: {cookie}");
        let key = (host.to_owned(), name.to_owned());
        if attributes.contains(&"max-age=0".to_owned()) || value.is_empty() || value == "deleted" {
            self.jar.remove(&key);
        } else {
            self.jar.insert(key, value.to_owned());
        }
    }
}

fn exchange(authority: &str, request: &[u8], url: &str) -> Answer {
    let mut stream = TcpStream::connect(authority).unwrap_or_else(|error| panic!("{authority}: {error}"));
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The server may answer before it has read a body that is too large; the answer is what counts.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let mut part = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
    }
    parse(&bytes, url)
}

fn parse(bytes: &[u8], url: &str) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let head_ends = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let octets = bytes[head_ends..].to_vec();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{url}: no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Answer { status, headers, body, octets, url: url.to_owned() }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}

/// The URL that a link in the page at `base` leads to.
pub(crate) fn absolute(base: &str, link: &str) -> String {
    if link.starts_with("http://") || link.starts_with("https://") {
        return link.to_owned();
    }
    let authority = base.strip_prefix("http://").unwrap().split('/').next().unwrap();
    match link.strip_prefix('/') {
        Some(path) => format!("http://{authority}/{path}"),
        None if link.is_empty() => base.to_owned(),
        None if link.starts_with('?') => format!("{}{link}", base.split('?').next().unwrap()),
        None => panic!("a relative link: {link}"),
    }
}

/// Percent-encodes a form's value.
pub(crate) fn encode(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
