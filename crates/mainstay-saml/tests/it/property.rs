//! Laws: canonical forms are stable, and no mutation of a signed message makes another identity.

use mainstay_saml::idp::Signed;
use proptest::prelude::*;

use crate::support::*;

fn bases() -> Vec<Vec<u8>> {
    let lab = Lab::new();
    [Signed::Assertion, Signed::Response, Signed::Both]
        .map(|signed| lab.message(signed).into_bytes())
        .to_vec()
}

/// Whatever was done to the message: it is refused, or it still says exactly what was signed.
fn still_the_same(bytes: &[u8]) {
    use base64::Engine as _;
    let lab = Lab::new();
    if let Ok(login) = lab.validate_field(&base64::engine::general_purpose::STANDARD.encode(bytes)) {
        assert_eq!(login.name_id.value, USER);
        assert_eq!(login.assertion_id, ASSERTION_ID);
        assert_eq!(login.attribute("groups").collect::<Vec<_>>(), ["staff", "a & b <c>"]);
        assert_eq!(login.in_response_to.as_deref(), Some(REQUEST));
    }
}

const PIECES: [&str; 14] = [
    "<!---->",
    "<![CDATA[x]]>",
    "&#x61;",
    " ",
    "<saml:NameID>mallory</saml:NameID>",
    "</saml:NameID>",
    "<x/>",
    "xmlns=\"urn:x\" ",
    "<saml:Assertion>",
    "</saml:Assertion>",
    "ID=\"_a101112131415161718191a1b1c1d1e1f\" ",
    "<ds:Signature/>",
    "<?x?>",
    "mallory",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_are_changed(base in 0_usize..3, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = bases()[base].clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        still_the_same(&bytes);
    }

    #[test]
    fn pieces_are_put_in(base in 0_usize..3, edits in prop::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len()), 1..4)) {
        let mut bytes = bases()[base].clone();
        for (at, piece) in edits {
            let at = at.index(bytes.len());
            bytes.splice(at..at, PIECES[piece].bytes());
        }
        still_the_same(&bytes);
    }

    #[test]
    fn ranges_are_copied_or_cut(base in 0_usize..3, from in any::<prop::sample::Index>(), length in 0_usize..3000, to in any::<prop::sample::Index>(), cut in any::<bool>()) {
        let mut bytes = bases()[base].clone();
        let from = from.index(bytes.len());
        let range = from..(from + length).min(bytes.len());
        let piece = bytes[range.clone()].to_vec();
        if cut {
            bytes.drain(range);
        }
        let to = to.index(bytes.len());
        bytes.splice(to..to, piece);
        still_the_same(&bytes);
    }

    #[test]
    fn elements_are_moved(base in 0_usize..3, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), copy in any::<bool>()) {
        let text = String::from_utf8(bases()[base].clone()).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let elements: Vec<_> = document.descendants().filter(|node| node.is_element()).map(|node| node.range()).collect();
        let source = elements[from.index(elements.len())].clone();
        let target = elements[to.index(elements.len())].start;
        let piece = text[source.clone()].replace(USER, EVIL);
        let mut bytes = text.clone().into_bytes();
        if !copy && (target <= source.start || target >= source.end) {
            bytes.drain(source.clone());
        }
        let at = if !copy && target >= source.end { target - source.len() } else { target }.min(bytes.len());
        bytes.splice(at..at, piece.bytes());
        still_the_same(&bytes);
    }

    /// Anything at all may arrive; nothing panics.
    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        still_the_same(&bytes);
    }

    #[test]
    fn names_survive_the_way_there_and_back(name in "[^\\x00-\\x20\\x7f-\\u{a0}\\u{fffe}\\u{ffff}\\u{2028}\\u{2029}]{1,40}") {
        let lab = Lab::new();
        // White space around a name is refused, whatever its script.
        prop_assume!(name.trim() == name);
        let mut grant = lab.grant(Signed::Both);
        grant.name_id.clone_from(&name);
        grant.attributes = vec![(name.clone(), vec![name.clone()])];
        let login = lab.validate_field(&lab.idp.respond(&grant, &random(), lab.now).unwrap()).unwrap();
        prop_assert_eq!(&login.name_id.value, &name);
        prop_assert_eq!(login.attribute(&name).collect::<Vec<_>>(), [name.as_str()]);
    }
}
