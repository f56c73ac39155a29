//! Many rows in one batch. SQLite runs one prepared statement for each row, which costs it less than unpacking JSON; PostgreSQL gets
//! the columns as arrays, in one statement.

use mainstay_repo::{Batch, Dialect, Expect, Sql, Statement, Value};

/// For so many rows and fewer PostgreSQL plans each time of itself.
const FEW: u64 = 8;

/// The two texts of a statement for many rows. Parameters are the row's columns, then the common ones; in PostgreSQL's text the row's are
/// arrays.
pub(super) struct Bulk {
    /// For one row.
    pub(super) sqlite: &'static str,
    /// For all rows.
    pub(super) postgres: &'static str,
    /// For traces and plans.
    pub(super) name: &'static str,
}

/// Rows that wait to be written.
pub(super) struct Rows<const N: usize> {
    rows: Vec<[Value; N]>,
}

impl<const N: usize> Rows<N> {
    pub(super) const fn new() -> Self {
        Self { rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: [Value; N]) {
        self.rows.push(row);
    }

    pub(super) fn extend(&mut self, rows: impl IntoIterator<Item = [Value; N]>) {
        self.rows.extend(rows);
    }

    /// Adds the statements; with `each`, every row has to be written or the batch fails.
    pub(super) fn write(
        self,
        batch: &mut Batch,
        dialect: Dialect,
        bulk: &Bulk,
        common: &[Value],
        each: bool,
    ) {
        if self.rows.is_empty() {
            return;
        }
        if dialect == Dialect::Sqlite {
            let expect = if each { Expect::ONE } else { Expect::Any };
            for row in self.rows {
                let statement = Statement::new(Sql::per_dialect(bulk.sqlite, bulk.postgres)).named(bulk.name);
                batch.expect(expect, statement.bind_all(row).bind_all(common.iter().cloned()));
            }
            return;
        }
        let count = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        if count > FEW {
            batch.plan_anew();
        }
        let mut columns: [Vec<Value>; N] = std::array::from_fn(|_| Vec::with_capacity(self.rows.len()));
        for row in self.rows {
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let statement = Statement::new(Sql::per_dialect(bulk.sqlite, bulk.postgres)).named(bulk.name);
        let statement = statement.bind_all(columns.map(Value::Array)).bind_all(common.iter().cloned());
        batch.expect(if each { Expect::Rows(count) } else { Expect::Any }, statement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_planned_anew() {
        const BULK: Bulk =
            Bulk { name: "test", sqlite: "SELECT $1", postgres: "SELECT unnest($1::bigint[])" };
        let planned = |dialect, count: u64| {
            let (mut batch, mut rows) = (Batch::new("test"), Rows::new());
            (0..count).for_each(|_| rows.push([1_i64.into()]));
            rows.write(&mut batch, dialect, &BULK, &[], false);
            batch.plans_anew()
        };
        assert!(!planned(Dialect::Postgres, FEW) && planned(Dialect::Postgres, FEW + 1));
        assert!(!planned(Dialect::Sqlite, 100), "there is one plan for all");
    }
}
