//! OCI images that `umoci`, `skopeo` and `docker-registry` make, serve and accept; and images that nobody should accept.

mod commits;
mod dropped;
mod flatten;
mod front;
mod handmade;
mod hostile;
mod layouts;
mod proxies;
mod registry;
mod resume;
mod server;
mod shelf;
mod tools;
