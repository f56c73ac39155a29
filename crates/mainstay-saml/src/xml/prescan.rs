//! One linear pass before the parser, so that no input can make the parser slow or reach its lenient corners.
//!
//! It refuses document types and processing instructions, counts depth, elements, attributes and namespace declarations,
//! and holds names and declarations to Namespaces in XML 1.0.

use crate::refusal::{Fail, Refusal};
use crate::xml::names;

/// How much XML is read. Every limit is inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the document.
    pub bytes: usize,
    /// Nesting of elements.
    pub depth: usize,
    /// Attributes and namespace declarations of one tag.
    pub attributes: usize,
    /// Elements.
    pub elements: usize,
    /// Bytes of a name, and of a namespace: the parser compares them pair by pair.
    pub name_bytes: usize,
    /// Namespace declarations in the whole document.
    pub declarations: usize,
    /// Namespace declarations of an element and its ancestors.
    pub in_scope: usize,
    /// The same, summed over the elements that declare any: each of them costs the parser a copy.
    pub copies: usize,
}

impl Limits {
    /// Limits of a protocol message.
    pub const MESSAGE: Self = Self {
        bytes: crate::MAX_MESSAGE_BYTES,
        depth: 64,
        attributes: 64,
        elements: 10_000,
        name_bytes: 256,
        declarations: 4_096,
        in_scope: 64,
        copies: 65_536,
    };

    /// Limits of a canonical form, in which one declaration may have become many.
    pub(crate) const CANONICAL: Self = Self {
        bytes: crate::MAX_CANONICAL_BYTES,
        declarations: 20_000,
        in_scope: 128,
        copies: 262_144,
        ..Self::MESSAGE
    };

    /// Limits of a metadata document.
    pub const METADATA: Self = Self {
        bytes: crate::MAX_METADATA_BYTES,
        depth: 64,
        attributes: 64,
        elements: 500_000,
        name_bytes: 256,
        declarations: 32_768,
        in_scope: 64,
        copies: 1_048_576,
    };

    /// Limits of the canonical form of a signed metadata document.
    pub(crate) const CANONICAL_METADATA: Self =
        Self { bytes: 2 * crate::MAX_METADATA_BYTES, in_scope: 128, copies: 4_194_304, ..Self::METADATA };
}

/// Takes off an XML declaration of version 1.0 and encoding UTF-8.
pub(super) fn strip_declaration(text: &str) -> Result<&str, Fail> {
    let Some(rest) = text.strip_prefix("<?xml").filter(|rest| rest.starts_with([' ', '\t', '\r', '\n']))
    else {
        return Ok(text);
    };
    let refused = || Refusal::ProcessingInstructionForbidden.expecting("XML 1.0 in UTF-8");
    let (declaration, body) = rest.split_once("?>").ok_or_else(refused)?;
    let mut seen = Vec::new();
    let mut left = declaration.trim_matches([' ', '\t', '\r', '\n']);
    while !left.is_empty() {
        let (name, after) = left.split_once('=').ok_or_else(refused)?;
        let after = after.trim_start_matches([' ', '\t', '\r', '\n']);
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or_else(refused)?;
        let (value, after) = after.get(1..).and_then(|v| v.split_once(quote)).ok_or_else(refused)?;
        seen.push((name.trim_end_matches([' ', '\t', '\r', '\n']), value));
        left = after.trim_start_matches([' ', '\t', '\r', '\n']);
    }
    let known = match seen.as_slice() {
        [("version", "1.0")] => true,
        [("version", "1.0"), ("standalone", "yes" | "no")] => true,
        [("version", "1.0"), ("encoding", encoding)]
        | [("version", "1.0"), ("encoding", encoding), ("standalone", "yes" | "no")] => {
            encoding.eq_ignore_ascii_case("UTF-8")
        }
        _ => false,
    };
    if known { Ok(body) } else { Err(refused().found(declaration)) }
}

/// Scans the document; `Ok` means that the parser may see it.
pub(super) fn scan(text: &str, limits: &Limits) -> Result<(), Fail> {
    let mut scan = Scan {
        rest: text.as_bytes(),
        limits,
        open: Vec::new(),
        elements: 0,
        declarations: 0,
        scope: 0,
        copies: 0,
    };
    // Without a way out of the loop, so that it runs on many bytes at once.
    let control = |b: u8| (b < b' ') & (b != b'\t') & (b != b'\n') & (b != b'\r');
    if text.bytes().fold(false, |found, b| found | control(b)) {
        return Err(Refusal::XmlMalformed.found("a control character"));
    }
    loop {
        // Markup ends with an ASCII character, so this is a boundary; looking in text is faster than in bytes.
        let done = text.len().saturating_sub(scan.rest.len());
        let Some(at) = text.get(done..).ok_or(Refusal::XmlMalformed)?.find('<') else {
            return Ok(());
        };
        scan.skip(at);
        scan.markup()?;
    }
}

struct Scan<'a> {
    rest: &'a [u8],
    limits: &'a Limits,
    /// Declarations of each open element.
    open: Vec<usize>,
    elements: usize,
    declarations: usize,
    scope: usize,
    copies: usize,
}

fn exceeded(what: &str, limit: usize) -> Fail {
    Refusal::XmlLimitExceeded.expecting(&format!("at most {limit} {what}"))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'a> Scan<'a> {
    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or(&[]);
    }

    /// Skips to behind `end`, searching from `from`.
    fn skip_past(&mut self, from: usize, end: &[u8]) -> Result<(), Fail> {
        let body = self.rest.get(from..).ok_or(Refusal::XmlMalformed)?;
        let at = body.windows(end.len()).position(|w| w == end).ok_or(Refusal::XmlMalformed)?;
        self.skip(from + at + end.len());
        Ok(())
    }

    fn markup(&mut self) -> Result<(), Fail> {
        if self.rest.starts_with(b"<!--") {
            self.skip_past(4, b"-->")
        } else if self.rest.starts_with(b"<![CDATA[") {
            self.skip_past(9, b"]]>")
        } else if self.rest.starts_with(b"<!") {
            Err(Refusal::DoctypeForbidden.into())
        } else if self.rest.starts_with(b"<?") {
            Err(Refusal::ProcessingInstructionForbidden.into())
        } else if self.rest.starts_with(b"</") {
            self.skip(2);
            self.qname()?;
            self.skip_past(0, b">")?;
            self.scope -= self.open.pop().ok_or(Refusal::XmlMalformed)?;
            Ok(())
        } else {
            self.skip(1);
            self.start_tag()
        }
    }

    fn start_tag(&mut self) -> Result<(), Fail> {
        let name = self.qname()?;
        if name.starts_with(b"xmlns:") {
            return Err(Refusal::NamespaceMisuse.into());
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(exceeded("elements", self.limits.elements));
        }
        if self.open.len() >= self.limits.depth {
            return Err(exceeded("levels", self.limits.depth));
        }
        let (mut attributes, mut declared, mut has_default) = (0_usize, 0_usize, false);
        loop {
            let spaces = self.rest.iter().take_while(|b| is_space(**b)).count();
            self.skip(spaces);
            if self.rest.starts_with(b"/>") {
                self.skip(2);
                return self.count_copies(declared);
            }
            if self.rest.starts_with(b">") {
                self.skip(1);
                self.open.push(declared);
                self.count_copies(declared)?;
                self.scope += declared;
                return Ok(());
            }
            if spaces == 0 {
                return Err(Refusal::XmlMalformed.into());
            }
            attributes += 1;
            if attributes > self.limits.attributes {
                return Err(exceeded("attributes", self.limits.attributes));
            }
            let Some(prefix) = self.attribute()? else {
                continue;
            };
            // The parser looks for a second declaration of a prefix, but not for a second default one.
            if prefix.is_empty() && std::mem::replace(&mut has_default, true) {
                return Err(Refusal::XmlMalformed.found("xmlns"));
            }
            declared += 1;
            self.count_declaration(declared)?;
        }
    }

    fn count_declaration(&mut self, of_this_tag: usize) -> Result<(), Fail> {
        self.declarations += 1;
        if self.declarations > self.limits.declarations {
            return Err(exceeded("namespace declarations", self.limits.declarations));
        }
        if self.scope + of_this_tag > self.limits.in_scope {
            return Err(exceeded("namespaces in scope", self.limits.in_scope));
        }
        Ok(())
    }

    /// An element that declares namespaces makes the parser copy those in scope.
    fn count_copies(&mut self, declared: usize) -> Result<(), Fail> {
        if declared > 0 {
            self.copies += self.scope + declared;
        }
        if self.copies > self.limits.copies {
            return Err(exceeded("copies of namespaces in scope", self.limits.copies));
        }
        Ok(())
    }

    /// Reads one attribute; the prefix if it declares a namespace, empty for the default one.
    fn attribute(&mut self) -> Result<Option<&'a [u8]>, Fail> {
        let name = self.qname()?;
        self.skip(self.rest.iter().take_while(|b| is_space(**b)).count());
        self.rest = self.rest.strip_prefix(b"=").ok_or(Refusal::XmlMalformed)?;
        self.skip(self.rest.iter().take_while(|b| is_space(**b)).count());
        let quote = *self.rest.first().filter(|b| matches!(b, b'"' | b'\'')).ok_or(Refusal::XmlMalformed)?;
        self.skip(1);
        let end = self.rest.iter().position(|b| *b == quote).ok_or(Refusal::XmlMalformed)?;
        let value = self.rest.get(..end).unwrap_or(&[]);
        if value.contains(&b'<') {
            return Err(Refusal::XmlMalformed.into());
        }
        self.skip(end + 1);
        let declared = match name.strip_prefix(b"xmlns") {
            Some([]) => check_declaration(None, value).map(|()| &[][..])?,
            Some([b':', prefix @ ..]) => check_declaration(Some(prefix), value).map(|()| prefix)?,
            // The parser would take such an attribute for a declaration of the default namespace.
            _ if name.ends_with(b":xmlns") => return Err(Refusal::NamespaceMisuse.into()),
            _ => return Ok(None),
        };
        self.check_name_bytes(value)?;
        Ok(Some(declared))
    }

    fn check_name_bytes(&self, name: &[u8]) -> Result<(), Fail> {
        let limit = self.limits.name_bytes;
        if name.len() > limit { Err(exceeded("bytes of a name or namespace", limit)) } else { Ok(()) }
    }

    /// Reads a name of the shape `local` or `prefix:local`. Characters beyond ASCII are left to the parser.
    fn qname(&mut self) -> Result<&'a [u8], Fail> {
        let (mut length, mut colons, mut starts) = (0, 0, true);
        for byte in self.rest {
            match CLASSES.get(usize::from(*byte)) {
                Some(Class::Start) => starts = false,
                Some(Class::Continue) if !starts => {}
                Some(Class::Colon) if !starts && colons == 0 => (colons, starts) = (1, true),
                Some(Class::End) if !starts => {
                    let name = self.take(length);
                    return self.check_name_bytes(name).map(|()| name);
                }
                _ => return Err(self.misnamed()),
            }
            length += 1;
        }
        Err(Refusal::XmlMalformed.into())
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (name, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        name
    }

    fn misnamed(&self) -> Fail {
        let shown = self.rest.get(..self.rest.len().min(64)).unwrap_or(&[]);
        Refusal::NamespaceMisuse.found(&String::from_utf8_lossy(shown))
    }
}

/// What a byte can be in a name.
#[derive(Clone, Copy)]
enum Class {
    Start,
    Continue,
    Colon,
    End,
    Other,
}

const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Other; 256];
    let mut byte = 0_u8;
    loop {
        let class = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Start,
            b'0'..=b'9' | b'-' | b'.' => Class::Continue,
            b':' => Class::Colon,
            b' ' | b'\t' | b'\n' | b'\r' | b'=' | b'/' | b'>' | b'<' => Class::End,
            _ => Class::Other,
        };
        #[allow(
            clippy::indexing_slicing,
            reason = "evaluated by the compiler; a byte always fits a table of 256"
        )]
        {
            table[byte as usize] = class;
        }
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

fn check_declaration(prefix: Option<&[u8]>, value: &[u8]) -> Result<(), Fail> {
    let reserved = value == names::XML.as_bytes() || value == names::XMLNS.as_bytes();
    let wrong = match prefix {
        None => reserved,
        Some(b"xml" | b"xmlns") => true,
        Some(_) => value.is_empty() || reserved,
    };
    if wrong { Err(Refusal::NamespaceMisuse.found(&String::from_utf8_lossy(value))) } else { Ok(()) }
}
