//! The service's own tables and statements: all of its SQL.

use mainstay_repo::{Batch, Component, Expect, FromRow, Migration, Repo, Result, Script, Statement, Target};
use serde::{Deserialize, Serialize};

/// The tables, as a numbered list that each start of the service brings up to date.
const ACCOUNTS: Component = Component {
    name: "accounts",
    migrations: &[
        Migration {
            version: 1,
            name: "create accounts",
            sqlite: Script::reversible(
                "CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0)) STRICT",
                "DROP TABLE accounts",
            ),
            postgres: Script::reversible(
                "CREATE TABLE accounts (name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0))",
                "DROP TABLE accounts",
            ),
        },
        Migration {
            version: 2,
            name: "keep a journal of transfers",
            sqlite: Script::reversible(
                "CREATE TABLE transfers (id INTEGER PRIMARY KEY, source TEXT NOT NULL REFERENCES accounts (name), \
                 target TEXT NOT NULL REFERENCES accounts (name), amount INTEGER NOT NULL) STRICT",
                "DROP TABLE transfers",
            ),
            postgres: Script::reversible(
                "CREATE TABLE transfers (id bigserial PRIMARY KEY, source text NOT NULL REFERENCES accounts (name), \
                 target text NOT NULL REFERENCES accounts (name), amount bigint NOT NULL)",
                "DROP TABLE transfers",
            ),
        },
    ],
};

/// An account, as a row and as JSON.
#[derive(Debug, Serialize, Deserialize, FromRow)]
pub(crate) struct Account {
    name: String,
    balance: i64,
}

/// An order to move money.
#[derive(Debug, Deserialize)]
pub(crate) struct Transfer {
    from: String,
    to: String,
    amount: u32,
}

/// Brings the tables up to date; harmless when they are, and when several processes start at once.
pub(crate) async fn migrate(repo: &Repo) -> Result<()> {
    repo.migrator().migrate(&ACCOUNTS, Target::Latest).await.map(drop)
}

pub(crate) async fn account_create(repo: &Repo, account: Account) -> Result<()> {
    let insert = Statement::new("INSERT INTO accounts (name, balance) VALUES ($1, $2)");
    repo.write(insert.bind(account.name).bind(account.balance)).await.map(drop)
}

pub(crate) async fn account_find(repo: &Repo, name: &str) -> Result<Account> {
    repo.read_one(Statement::new("SELECT name, balance FROM accounts WHERE name = $1").bind(name)).await
}

/// Moves money: all three statements or none, in one round trip. The conditions are what must be true, and they are
/// checked where the rows are.
pub(crate) async fn transfer(repo: &Repo, order: Transfer) -> Result<()> {
    let Transfer { from, to, amount } = order;
    let mut batch = Batch::new("accounts.transfer");
    batch.expect(
        Expect::ONE,
        Statement::new("UPDATE accounts SET balance = balance - $1 WHERE name = $2 AND balance >= $1")
            .bind(amount)
            .bind(&from),
    );
    batch.expect(
        Expect::ONE,
        Statement::new("UPDATE accounts SET balance = balance + $1 WHERE name = $2").bind(amount).bind(&to),
    );
    batch.push(
        Statement::new("INSERT INTO transfers (source, target, amount) VALUES ($1, $2, $3)")
            .bind(from)
            .bind(to)
            .bind(amount),
    );
    repo.batch(batch).await.map(drop)
}
