//! Opaque handles, and paths to return to.

use mainstay_saml::{
    MAX_RELAY_STATE_BYTES, MAX_RETURN_PATH_BYTES, RelayState, ReturnPathRefusal as P, check_return_path,
    post_form,
};

#[test]
fn handles_round_trip_and_nothing_else_parses() {
    let handle = RelayState::from_random(&[0xfb; 16]);
    assert_eq!(handle.as_str(), "rs_-_v7-_v7-_v7-_v7-_v7-w");
    assert_eq!(RelayState::parse(handle.as_str()), Some(handle.clone()));
    assert!(handle.as_str().len() <= MAX_RELAY_STATE_BYTES);
    for wrong in [
        "",
        "rs_",
        "rs_AAAA",
        "https://evil.test",
        "rs_-_v7-_v7-_v7-_v7-_v7-w=",
        "RS_-_v7-_v7-_v7-_v7-_v7-w",
        "rs_+/v7-_v7-_v7-_v7-_v7-w",
        "/",
    ] {
        assert_eq!(RelayState::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn only_local_paths_are_returned_to() {
    for fine in ["/", "/a/b", "/a?next=//x&y=http://z", "/a#b", "/a//b", "/%41", "/a.b/..c", "/~user/(x)"] {
        assert_eq!(check_return_path(fine), Ok(fine));
    }
    for (wrong, refusal) in [
        ("", P::NotLocal),
        ("a", P::NotLocal),
        ("//evil.test", P::NotLocal),
        ("///evil.test", P::NotLocal),
        ("https://evil.test", P::NotLocal),
        ("https:evil.test", P::NotLocal),
        ("javascript:alert(1)", P::NotLocal),
        ("data:text/html,x", P::NotLocal),
        (" /a", P::NotLocal),
        ("\t//evil.test", P::NotLocal),
        ("\\\\evil.test", P::Backslash),
        ("/\\evil.test", P::Backslash),
        ("/a\\b", P::Backslash),
        ("/\t/evil.test", P::ForbiddenCharacter),
        ("/a\r\nSet-Cookie: x=y", P::ForbiddenCharacter),
        ("/a b", P::ForbiddenCharacter),
        ("/\u{0}", P::ForbiddenCharacter),
        ("/é", P::ForbiddenCharacter),
        ("/<script>", P::ForbiddenCharacter),
        ("/\"x", P::ForbiddenCharacter),
        ("/../x", P::Traversal),
        ("/a/..//evil.test", P::Traversal),
        ("/.//evil.test", P::Traversal),
        ("/%2e%2E/x", P::Traversal),
        ("/%2fevil.test", P::Traversal),
        ("/%5Cevil.test", P::Traversal),
        ("/a%0d%0aX", P::Traversal),
    ] {
        assert_eq!(check_return_path(wrong), Err(refusal), "{wrong:?}");
    }
    let long = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
    assert!(check_return_path(&long(MAX_RETURN_PATH_BYTES)).is_ok());
    assert_eq!(check_return_path(&long(MAX_RETURN_PATH_BYTES + 1)), Err(P::TooLong));
}

#[test]
fn the_form_of_the_post_binding_is_escaped() {
    let form =
        post_form("https://x.test/?a=1&b=\"><script>", "SAMLResponse", "AA==", Some("'\"><img onerror=x>"));
    assert!(!form.contains("<img") && !form.contains("\"><script>\""));
    assert_eq!(form.matches("<script>").count(), 1);
    assert!(form.contains("name=\"RelayState\" value=\"&#39;&quot;&gt;&lt;img onerror=x&gt;\""));
    assert!(form.contains(mainstay_saml::POST_FORM_SCRIPT));
}
