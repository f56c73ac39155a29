//! What a query string asks of the list of runs.

use mainstay_core::{Cursor, Page, PageSize};
use mainstay_workflow::Control;
use mainstay_workflow::store::{Filter, Order, RunSummary};

use crate::problem::{Problem, ProblemKind};

/// A query for runs, read and not yet asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Search {
    /// Whose runs; the default namespace's when nothing is said.
    pub(crate) namespace: Option<String>,
    filter: Filter,
    order: Order,
    size: PageSize,
    after: Option<Cursor>,
}

impl Search {
    /// Reads the pairs of a query string. Empty values are those of a form's fields that were left out.
    ///
    /// # Errors
    /// [`ProblemKind::Malformed`] for a name that means nothing here: a condition is never left out silently.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut search = Self::default();
        let mut conditions = Vec::new();
        for (name, value) in pairs.iter().filter(|(_, value)| !value.trim().is_empty()) {
            let wrong = |wants: &str| Problem::new(ProblemKind::Malformed, format!("{name} wants {wants}."));
            match name.as_str() {
                "namespace" => search.namespace = Some(value.clone()),
                "limit" => {
                    let items = value.parse().map_err(|_| wrong("a number of runs"))?;
                    search.size = PageSize::clamped(items);
                }
                "after" => search.after = Some(Cursor::new(value.as_str())),
                "order" => {
                    search.order = match value.as_str() {
                        "newest" => Order::Newest,
                        "oldest" => Order::Oldest,
                        _ => return Err(wrong("newest or oldest")),
                    }
                }
                // As on the command line: a path, an equals sign, a value.
                "where" => match value.split_once('=') {
                    Some((path, value)) => conditions.push((path.trim(), value.trim())),
                    None => return Err(wrong("a path and a value, such as context.initial.order_id=123")),
                },
                name => conditions.push((name, value.trim())),
            }
        }
        search.filter = Filter::parse(conditions)?;
        Ok(search)
    }

    /// The same with pages of another size.
    pub(crate) fn listing(self, items: u32) -> Self {
        Self { size: PageSize::clamped(items), ..self }
    }

    /// The page.
    pub(crate) async fn ask(&self, control: &Control) -> Result<Page<RunSummary>, Problem> {
        Ok(control.list(&self.filter, self.order, self.size, self.after.as_ref()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Search, Problem> {
        let owned: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Search::read(&owned)
    }

    #[test]
    fn a_query_is_the_conditions_that_it_names() {
        let search =
            read(&[("status", "running"), ("where", "context.initial.order_id = 123"), ("workflow", "")]);
        let filter = Filter::parse([("status", "running"), ("context.initial.order_id", "123")]).unwrap();
        assert_eq!(search.unwrap(), Search { filter, ..Search::default() });
        let page =
            read(&[("limit", "7"), ("after", "run_x"), ("order", "oldest"), ("namespace", "shop")]).unwrap();
        assert_eq!(
            (page.size.get(), page.order, page.namespace.as_deref()),
            (7, Order::Oldest, Some("shop"))
        );
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for pairs in [
            [("staus", "running")],
            [("status", "pending")],
            [("limit", "many")],
            [("order", "random")],
            [("where", "order_id")],
            [("where", "order_id=1")],
        ] {
            assert_eq!(read(&pairs).unwrap_err().kind(), ProblemKind::Malformed, "{pairs:?}");
        }
    }
}
