//! The identifiers of this crate's rows.

mainstay_core::typed_id! {
    /// Names one connection to an identity provider; it is public and stands in URLs.
    pub struct ConnectionId("conn");
}

mainstay_core::typed_id! {
    /// Names one revision of a connection's metadata.
    pub struct RevisionId("mrev");
}

mainstay_core::typed_id! {
    /// Names the record of one login, successful or not.
    pub struct TraceId("ltr");
}

mainstay_core::typed_id! {
    /// Names one session; unlike its token it opens nothing.
    pub struct SessionId("ses");
}

mainstay_core::typed_id! {
    /// Names one audit event.
    pub struct AuditId("aud");
}
