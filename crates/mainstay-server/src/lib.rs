//! The HTTP surface of Mainstay: sign-in, API and console.
