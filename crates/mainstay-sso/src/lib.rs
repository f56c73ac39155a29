//! Durable, multi-tenant SAML sign-in on mainstay-repo.
