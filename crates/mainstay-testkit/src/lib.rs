//! Test support: temporary databases, fault injection, a fake identity provider.
