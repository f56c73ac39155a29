//! Rows read as Rust types: the derive, each option of it, and each way in which a row does not fit.

use mainstay_core::Timestamp;
use mainstay_repo::{ErrorKind, FromRow, Json, Repo, Row, Sql, Statement};
use mainstay_testkit::TestDatabase;

use crate::support::{check_error, ddl, kind};

on_every_database!(a_derived_type_reads_every_column, what_does_not_fit_is_named, reads_of_none_one_and_many);

mainstay_core::typed_id! {
    /// Names a person.
    struct PersonId("person");
}

#[derive(Debug, serde::Serialize, serde::Deserialize, PartialEq)]
struct Settings {
    theme: String,
}

#[derive(FromRow, Debug)]
struct Person {
    #[row(parse)]
    id: PersonId,
    #[row(parse)]
    chief: Option<PersonId>,
    name: Option<String>,
    #[row(column = "years")]
    age: u8,
    active: bool,
    joined: Timestamp,
    #[row(json)]
    settings: Settings,
    photo: Vec<u8>,
    height: f64,
}

async fn open(db: &TestDatabase) -> Repo {
    let repo = db.repo().await;
    ddl(
        &repo,
        &[(
            "CREATE TABLE people (id TEXT PRIMARY KEY, chief TEXT, name TEXT, years INTEGER NOT NULL, \
             active INTEGER NOT NULL, joined INTEGER NOT NULL, settings TEXT NOT NULL, photo BLOB NOT NULL, \
             height REAL NOT NULL) STRICT",
            "CREATE TABLE people (id text PRIMARY KEY, chief text, name text, years smallint NOT NULL, \
             active boolean NOT NULL, joined timestamptz NOT NULL, settings jsonb NOT NULL, photo bytea NOT NULL, \
             height double precision NOT NULL)",
        )],
    )
    .await;
    repo
}

fn person(id: PersonId, chief: Option<PersonId>, years: u8) -> Statement {
    let settings = Json::encode(&Settings { theme: "dark".to_owned() }).unwrap();
    Statement::new(
        "INSERT INTO people (id, chief, name, years, active, joined, settings, photo, height) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind_text(id)
    .bind_optional_text(chief)
    .bind(chief.map(|_| "Ada"))
    .bind(years)
    .bind(true)
    .bind(Timestamp::UNIX_EPOCH)
    .bind(settings)
    .bind(vec![1_u8, 2])
    .bind(1.75)
}

async fn a_derived_type_reads_every_column(db: &TestDatabase) {
    let repo = open(db).await;
    let (chief, other) =
        (PersonId::generate(&mainstay_core::SystemClock), PersonId::generate(&mainstay_core::SystemClock));
    repo.write(person(chief, None, 255)).await.unwrap();
    repo.write(person(other, Some(chief), 0)).await.unwrap();
    let all: Vec<Person> =
        repo.read_all(Statement::new("SELECT * FROM people ORDER BY years DESC")).await.unwrap();
    let [first, second] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((first.id, first.chief, first.name.as_deref(), first.age), (chief, None, None, 255));
    assert_eq!(
        (second.id, second.chief, second.name.as_deref(), second.age),
        (other, Some(chief), Some("Ada"), 0)
    );
    assert!(second.active);
    assert_eq!((second.joined, &second.photo, second.height), (Timestamp::UNIX_EPOCH, &vec![1, 2], 1.75));
    assert_eq!(second.settings, Settings { theme: "dark".to_owned() });
}

async fn what_does_not_fit_is_named(db: &TestDatabase) {
    let repo = open(db).await;
    let id = PersonId::generate(&mainstay_core::SystemClock);
    repo.write(person(id, None, 7)).await.unwrap();
    let read =
        async |sql: &'static str| repo.read_one::<Person>(Statement::new(sql)).await.map(drop).unwrap_err();
    let row: Row = repo.read_one(Statement::new("SELECT id, years FROM people")).await.unwrap();
    assert_eq!(row.columns().collect::<Vec<_>>(), ["id", "years"]);
    check_error(&row.get::<i64>("age").unwrap_err(), &ErrorKind::InvalidInput, &["\"age\"", "id, years"]);
    check_error(&row.get::<i64>("id").unwrap_err(), &ErrorKind::InvalidInput, &["\"id\"", "text", "int"]);
    check_error(&row.get_at::<i64>(9).unwrap_err(), &ErrorKind::InvalidInput, &["2 columns"]);
    check_error(&read("SELECT id FROM people").await, &ErrorKind::InvalidInput, &["no column", "chief"]);
    let wide = "SELECT id, chief, name, 256 AS years, active, joined, settings, photo, height FROM people";
    check_error(&read(wide).await, &ErrorKind::InvalidInput, &["years", "8 bits"]);
    let not_an_id =
        "SELECT 'person_1' AS id, chief, name, years, active, joined, settings, photo, height FROM people";
    check_error(&read(not_an_id).await, &ErrorKind::InvalidInput, &["id", "person"]);
    let shape = Statement::new(Sql::per_dialect(
        "SELECT id, chief, name, years, active, joined, '[]' AS settings, photo, height FROM people",
        "SELECT id, chief, name, years, active, joined, '[]'::jsonb AS settings, photo, height FROM people",
    ));
    let error = repo.read_one::<Person>(shape).await.unwrap_err();
    check_error(&error, &ErrorKind::InvalidInput, &["JSON", "shape"]);
}

async fn reads_of_none_one_and_many(db: &TestDatabase) {
    let repo = open(db).await;
    let all = || Statement::new("SELECT * FROM people");
    assert!(repo.read_optional::<Person>(all()).await.unwrap().is_none());
    assert!(repo.read_all::<Person>(all()).await.unwrap().is_empty());
    let error = repo.read_one::<Person>(all()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::NotFound);
    assert!(error.is_not_found());
    let update = Statement::new("UPDATE people SET years = 1 RETURNING id");
    assert!(repo.write(update).await.unwrap().into_row().unwrap_err().is_not_found());
}
