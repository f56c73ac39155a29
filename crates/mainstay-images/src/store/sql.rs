//! How the two databases spell the same thing. Expiry is issued and judged by the database's clock, so that nodes whose clocks
//! differ agree on what has expired.

/// One statement for both databases. Between the texts stand words that each database spells in its own way:
///
/// | word | meaning |
/// |---|---|
/// | `now` | the instant at which the statement began, in microseconds |
/// | `any "$1"` | the values of an array, to stand behind `IN` |
/// | `for_update`, `for_share`, `for_key_share` | keep the rows from changing until the commit; SQLite has one writer and needs no word |
macro_rules! sql {
    (@ $dialect:ident [$($out:tt)*]) => { concat!($($out)*) };
    (@ sqlite [$($out:tt)*] now $($rest:tt)*) => {
        $crate::store::sql::sql!(@ sqlite [$($out)* "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",] $($rest)*)
    };
    (@ postgres [$($out:tt)*] now $($rest:tt)*) => {
        $crate::store::sql::sql!(@ postgres
            [$($out)* "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)",] $($rest)*)
    };
    (@ sqlite [$($out:tt)*] any $array:literal $($rest:tt)*) => {
        $crate::store::sql::sql!(@ sqlite [$($out)* "(SELECT value FROM json_each(", $array, "))",] $($rest)*)
    };
    (@ postgres [$($out:tt)*] any $array:literal $($rest:tt)*) => {
        $crate::store::sql::sql!(@ postgres [$($out)* "(SELECT unnest(", $array, "::bigint[]))",] $($rest)*)
    };
    (@ sqlite [$($out:tt)*] for_update $($rest:tt)*) => {
        $crate::store::sql::sql!(@ sqlite [$($out)*] $($rest)*)
    };
    (@ postgres [$($out:tt)*] for_update $($rest:tt)*) => {
        $crate::store::sql::sql!(@ postgres [$($out)* " FOR UPDATE",] $($rest)*)
    };
    (@ sqlite [$($out:tt)*] for_share $($rest:tt)*) => {
        $crate::store::sql::sql!(@ sqlite [$($out)*] $($rest)*)
    };
    (@ postgres [$($out:tt)*] for_share $($rest:tt)*) => {
        $crate::store::sql::sql!(@ postgres [$($out)* " FOR SHARE",] $($rest)*)
    };
    (@ sqlite [$($out:tt)*] for_key_share $($rest:tt)*) => {
        $crate::store::sql::sql!(@ sqlite [$($out)*] $($rest)*)
    };
    (@ postgres [$($out:tt)*] for_key_share $($rest:tt)*) => {
        $crate::store::sql::sql!(@ postgres [$($out)* " FOR KEY SHARE",] $($rest)*)
    };
    (@ $dialect:ident [$($out:tt)*] $text:literal $($rest:tt)*) => {
        $crate::store::sql::sql!(@ $dialect [$($out)* $text,] $($rest)*)
    };
    ($($parts:tt)*) => {
        ::mainstay_repo::Sql::per_dialect(
            $crate::store::sql::sql!(@ sqlite [] $($parts)*),
            $crate::store::sql::sql!(@ postgres [] $($parts)*),
        )
    };
}
pub(crate) use sql;

use std::time::Duration;

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// A size as the databases hold it.
pub(crate) fn octets(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use mainstay_repo::Dialect;

    #[test]
    fn both_dialects_say_the_same() {
        let sql = sql!["SELECT a FROM t WHERE b IN " any "$1" " AND c < " now for_share];
        assert_eq!(
            sql.text(Dialect::Sqlite),
            "SELECT a FROM t WHERE b IN (SELECT value FROM json_each($1)) \
             AND c < CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
        );
        assert_eq!(
            sql.text(Dialect::Postgres),
            "SELECT a FROM t WHERE b IN (SELECT unnest($1::bigint[])) \
             AND c < CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint) FOR SHARE"
        );
    }
}
