//! Integration tests: data in, expectation out.
