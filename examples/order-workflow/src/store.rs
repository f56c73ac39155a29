//! The shop's own tables and statements: all of its SQL. The bank would be somebody else's; here it is a table too.

use mainstay_repo::{Batch, Component, Migration, Repo, Result, Row, Script, Statement, Target, Transaction};

const SHOP: Component = Component {
    name: "shop",
    migrations: &[Migration {
        version: 1,
        name: "create the shop",
        sqlite: Script::reversible(
            "CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INTEGER NOT NULL CHECK (pieces >= 0)) STRICT;
             CREATE TABLE reservation (order_id INTEGER PRIMARY KEY, item TEXT NOT NULL) STRICT;
             CREATE TABLE bank (payment TEXT PRIMARY KEY, order_id INTEGER NOT NULL, cents INTEGER NOT NULL) STRICT;
             CREATE TABLE ledger (order_id INTEGER NOT NULL, cents INTEGER NOT NULL, receipt TEXT NOT NULL) STRICT;
             CREATE TABLE letter (order_id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",
            "DROP TABLE letter; DROP TABLE ledger; DROP TABLE bank; DROP TABLE reservation; DROP TABLE stock;",
        ),
        postgres: Script::reversible(
            "CREATE TABLE stock (item text PRIMARY KEY, pieces bigint NOT NULL CHECK (pieces >= 0));
             CREATE TABLE reservation (order_id bigint PRIMARY KEY, item text NOT NULL);
             CREATE TABLE bank (payment text PRIMARY KEY, order_id bigint NOT NULL, cents bigint NOT NULL);
             CREATE TABLE ledger (order_id bigint NOT NULL, cents bigint NOT NULL, receipt text NOT NULL);
             CREATE TABLE letter (order_id bigint PRIMARY KEY, text text NOT NULL);",
            "DROP TABLE letter; DROP TABLE ledger; DROP TABLE bank; DROP TABLE reservation; DROP TABLE stock;",
        ),
    }],
};

/// Brings the tables up to date.
pub(crate) async fn migrate(repo: &Repo) -> Result<()> {
    repo.migrator().migrate(&SHOP, Target::Latest).await.map(drop)
}

/// Puts pieces of an item on the shelf.
///
/// # Errors
/// Those of the database.
pub async fn deliver_stock(repo: &Repo, item: &str, pieces: u32) -> Result<()> {
    let add = Statement::new(
        "INSERT INTO stock (item, pieces) VALUES ($1, $2) ON CONFLICT (item) DO UPDATE SET pieces = stock.pieces + $2",
    );
    repo.write(add.bind(item).bind(pieces)).await.map(drop)
}

/// Puts a piece aside, if there is one.
pub(crate) async fn reserve(tx: &mut Transaction, order: u32, item: &str) -> Result<bool> {
    let take =
        Statement::new("UPDATE stock SET pieces = pieces - 1 WHERE item = $1 AND pieces > 0").bind(item);
    if tx.write(take).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let note =
        Statement::new("INSERT INTO reservation (order_id, item) VALUES ($1, $2)").bind(order).bind(item);
    tx.write(note).await.map(|_| true)
}

/// Puts back what was put aside; nothing the second time.
pub(crate) async fn put_back(repo: &Repo, order: u32) -> Result<()> {
    let mut batch = Batch::new("shop.put_back");
    batch.push(
        Statement::new(
            "UPDATE stock SET pieces = pieces + 1 WHERE item = (SELECT item FROM reservation WHERE order_id = $1)",
        )
        .bind(order),
    );
    batch.push(Statement::new("DELETE FROM reservation WHERE order_id = $1").bind(order));
    repo.batch(batch).await.map(drop)
}

/// The bank takes money, once for each key. It declines cards that begin with 4000.
pub(crate) async fn bank_charge(repo: &Repo, key: &str, order: u32, card: &str, cents: u32) -> Result<bool> {
    if card.starts_with("4000") {
        return Ok(false);
    }
    let take = Statement::new(
        "INSERT INTO bank (payment, order_id, cents) VALUES ($1, $2, $3) ON CONFLICT (payment) DO NOTHING",
    );
    repo.write(take.bind(key).bind(order).bind(cents)).await.map(|_| true)
}

/// The bank returns what it took for an order.
pub(crate) async fn bank_return(repo: &Repo, order: u32) -> Result<()> {
    repo.write(Statement::new("DELETE FROM bank WHERE order_id = $1").bind(order)).await.map(drop)
}

/// A line in the ledger, as a statement that somebody else commits.
pub(crate) fn ledger_line(order: u32, cents: u32, receipt: &str) -> Batch {
    let mut batch = Batch::new("shop.book");
    let line = Statement::new("INSERT INTO ledger (order_id, cents, receipt) VALUES ($1, $2, $3)");
    batch.push(line.bind(order).bind(cents).bind(receipt));
    batch
}

/// Strikes the lines of an order.
pub(crate) async fn ledger_strike(repo: &Repo, order: u32) -> Result<()> {
    repo.write(Statement::new("DELETE FROM ledger WHERE order_id = $1").bind(order)).await.map(drop)
}

/// Writes to the customer, once.
pub(crate) async fn letter(repo: &Repo, order: u32, text: &str) -> Result<()> {
    let write = Statement::new(
        "INSERT INTO letter (order_id, text) VALUES ($1, $2) ON CONFLICT (order_id) DO NOTHING",
    );
    repo.write(write.bind(order).bind(text)).await.map(drop)
}

/// What the shop's books say: pieces on the shelf, lines in the ledger, payments at the bank, letters.
///
/// # Errors
/// Those of the database.
pub async fn books(repo: &Repo) -> Result<[i64; 4]> {
    let row: Row = repo
        .read_one(Statement::new(
            "SELECT (SELECT CAST(coalesce(sum(pieces), 0) AS bigint) FROM stock) AS pieces, (SELECT count(*) FROM ledger) AS lines, \
             (SELECT count(*) FROM bank) AS payments, (SELECT count(*) FROM letter) AS letters",
        ))
        .await?;
    Ok([row.get("pieces")?, row.get("lines")?, row.get("payments")?, row.get("letters")?])
}
