//! As much of HTML as the tests need: forms and their fields.

use super::browser::{Answer, Browser, absolute};

/// The first form of a page.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Form {
    /// Reads the first form that posts.
    pub(crate) fn of(page: &Answer) -> Self {
        let text = &page.body;
        let start = text.find("<form").unwrap_or_else(|| panic!("no form in {page:?}"));
        let form = &text[start..];
        let form = &form[..form.find("</form>").unwrap()];
        let tag = &form[..form.find('>').unwrap()];
        let action = attribute(tag, "action").unwrap_or_default();
        let fields = form.split("<input").skip(1).filter_map(|rest| {
            let tag = rest.split('>').next().unwrap();
            Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
        });
        Self { action: absolute(&page.url, &action), fields: fields.collect() }
    }

    /// Sets a field.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Posts it.
    pub(crate) fn submit(&self, browser: &mut Browser) -> Answer {
        let fields: Vec<(&str, &str)> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post(&self.action, &fields)
    }

    /// Posts it to another server, as somebody who copied it would.
    pub(crate) fn submit_to(&self, browser: &mut Browser, origin: &str) -> Answer {
        let path = self.action.strip_prefix("http://").unwrap().split_once('/').unwrap().1;
        let form = Self { action: format!("{origin}/{path}"), fields: self.fields.clone() };
        form.submit(browser)
    }
}

/// The unescaped value of a tag's attribute.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = [' ', '\n', '\t'].iter().find_map(|space| tag.find(&format!("{space}{name}=\"")))?;
    let value = &tag[start + name.len() + 3..];
    Some(unescape(&value[..value.find('"')?]))
}

fn unescape(text: &str) -> String {
    let named =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#039;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    named.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The text between a tag that starts so and the next `<`.
pub(crate) fn text_after<'a>(page: &'a str, tag: &str) -> &'a str {
    let start = page.find(tag).unwrap_or_else(|| panic!("no {tag} in {page}"));
    let rest = &page[start + tag.len()..];
    rest[..rest.find('<').unwrap()].trim()
}
