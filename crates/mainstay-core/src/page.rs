//! Keyset pages: stable under concurrent writes, and as cheap on the last page as on the first.

use serde::{Deserialize, Serialize};

/// How many items a page may hold: 1 to [`PageSize::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u32", from = "u32")]
pub struct PageSize(u32);

impl PageSize {
    /// The largest page.
    pub const MAX: u32 = 1_000;
    /// What a caller gets who does not say.
    pub const DEFAULT: Self = Self(50);

    /// A page size, held within 1..=[`PageSize::MAX`].
    #[must_use]
    pub const fn clamped(items: u32) -> Self {
        if items == 0 {
            Self(1)
        } else if items > Self::MAX {
            Self(Self::MAX)
        } else {
            Self(items)
        }
    }

    /// The number of items.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<PageSize> for u32 {
    fn from(value: PageSize) -> Self {
        value.0
    }
}

impl From<u32> for PageSize {
    fn from(value: u32) -> Self {
        Self::clamped(value)
    }
}

/// Where the next page starts: opaque to callers, made and read by the store that listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// Wraps a store's own text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items, in the listing's order.
    pub items: Vec<T>,
    /// Where the next page starts; none on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Builds a page from up to `size + 1` items: the surplus item only proves that another page exists.
    #[must_use]
    pub fn from_surplus(mut items: Vec<T>, size: PageSize, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let limit = usize::try_from(size.get()).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_size_is_held_within_its_limits() {
        assert_eq!(PageSize::clamped(0).get(), 1);
        assert_eq!(PageSize::clamped(PageSize::MAX).get(), PageSize::MAX);
        assert_eq!(PageSize::clamped(PageSize::MAX + 1).get(), PageSize::MAX);
    }

    #[test]
    fn a_cursor_is_given_only_when_more_follows() {
        let cursor = |n: &u32| Cursor::new(n.to_string());
        let full = Page::from_surplus(vec![1, 2, 3], PageSize::clamped(2), cursor);
        assert_eq!((full.items, full.next), (vec![1, 2], Some(Cursor::new("2"))));
        let last = Page::from_surplus(vec![1, 2], PageSize::clamped(2), cursor);
        assert_eq!((last.items, last.next), (vec![1, 2], None));
    }
}
