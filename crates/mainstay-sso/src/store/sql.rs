//! How the two databases spell the same thing, above all the time: expiry is issued and judged by the database's clock, so
//! that nodes whose clocks differ agree on what has expired.

/// One statement for both databases. Between the texts stand words that each database spells in its own way:
///
/// | word | meaning |
/// |---|---|
/// | `now` | the instant at which the statement began |
/// | `plus "$3"` | that instant and so many microseconds |
/// | `least` | the name of the function that gives the smaller of two values |
macro_rules! sql {
    (@ $dialect:ident [$($out:tt)*]) => { concat!($($out)*) };
    (@ sqlite [$($out:tt)*] now $($rest:tt)*) => {
        $crate::store::sql::sql!(@ sqlite [$($out)* "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",] $($rest)*)
    };
    (@ postgres [$($out:tt)*] now $($rest:tt)*) => {
        $crate::store::sql::sql!(@ postgres [$($out)* "statement_timestamp()",] $($rest)*)
    };
    (@ sqlite [$($out:tt)*] plus $micros:literal $($rest:tt)*) => {
        $crate::store::sql::sql!(@ sqlite
            [$($out)* "(CAST(unixepoch('subsec') * 1000000 AS INTEGER) + ", $micros, ")",] $($rest)*)
    };
    (@ postgres [$($out:tt)*] plus $micros:literal $($rest:tt)*) => {
        $crate::store::sql::sql!(@ postgres
            [$($out)* "(statement_timestamp() + ", $micros, "::bigint * interval '1 microsecond')",] $($rest)*)
    };
    (@ sqlite [$($out:tt)*] least $($rest:tt)*) => {
        $crate::store::sql::sql!(@ sqlite [$($out)* "MIN",] $($rest)*)
    };
    (@ postgres [$($out:tt)*] least $($rest:tt)*) => {
        $crate::store::sql::sql!(@ postgres [$($out)* "LEAST",] $($rest)*)
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

/// A duration as the parameter of `plus`.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use mainstay_repo::Dialect;

    #[test]
    fn both_dialects_say_the_same() {
        let sql = sql!["UPDATE t SET a = " least "(" plus "$1" ", b) WHERE c > " now];
        assert_eq!(
            sql.text(Dialect::Sqlite),
            "UPDATE t SET a = MIN((CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $1), b) \
             WHERE c > CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
        );
        assert_eq!(
            sql.text(Dialect::Postgres),
            "UPDATE t SET a = LEAST((statement_timestamp() + $1::bigint * interval '1 microsecond'), b) \
             WHERE c > statement_timestamp()"
        );
    }
}
