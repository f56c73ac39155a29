//! A sans-I/O SAML 2.0 service provider: it reads only what a signature covers.
