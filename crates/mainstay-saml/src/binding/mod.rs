//! How messages travel (SAML bindings): HTTP-Redirect and HTTP-POST.

pub(crate) mod post;
pub(crate) mod redirect;
