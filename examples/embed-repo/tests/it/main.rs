//! The service, asked over its own routes, on both databases.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests: a panic is how they fail")]

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use mainstay_testkit::{TestDatabase, for_each_database};
use serde_json::{Value, json};
use tower::ServiceExt as _;

async fn ask(service: &Router, method: Method, path: &str, body: Value) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn post(service: &Router, path: &str, body: Value) -> StatusCode {
    ask(service, Method::POST, path, body).await.0
}

async fn balance(service: &Router, name: &str) -> i64 {
    let (status, body) = ask(service, Method::GET, &format!("/accounts/{name}"), Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["balance"].as_i64().unwrap()
}

async fn the_service_works(db: &TestDatabase) {
    let service = embed_repo::router(embed_repo::open(db.url()).await.unwrap());
    let create = |name: &'static str, amount: i64| json!({ "name": name, "balance": amount });
    assert_eq!(post(&service, "/accounts", create("ada", 100)).await, StatusCode::CREATED);
    assert_eq!(post(&service, "/accounts", create("bob", 0)).await, StatusCode::CREATED);
    assert_eq!(post(&service, "/accounts", create("ada", 7)).await, StatusCode::CONFLICT);
    assert_eq!(post(&service, "/accounts", create("eve", -1)).await, StatusCode::BAD_REQUEST);
    let (status, _) = ask(&service, Method::GET, "/accounts/eve", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let order = |from: &'static str, to: &'static str, amount: u32| json!({ "from": from, "to": to, "amount": amount });
    assert_eq!(post(&service, "/transfers", order("ada", "bob", 30)).await, StatusCode::NO_CONTENT);
    assert_eq!(post(&service, "/transfers", order("ada", "bob", 71)).await, StatusCode::CONFLICT);
    assert_eq!(post(&service, "/transfers", order("ada", "eve", 10)).await, StatusCode::NOT_FOUND);
    assert_eq!(post(&service, "/transfers", order("eve", "ada", 10)).await, StatusCode::CONFLICT);
    assert_eq!((balance(&service, "ada").await, balance(&service, "bob").await), (70, 30));

    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let service = service.clone();
            let back = order(
                if number % 2 == 0 { "ada" } else { "bob" },
                if number % 2 == 0 { "bob" } else { "ada" },
                1,
            );
            tokio::spawn(async move { post(&service, "/transfers", back).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), StatusCode::NO_CONTENT);
    }
    assert_eq!((balance(&service, "ada").await, balance(&service, "bob").await), (70, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_works_on_both_databases() {
    for_each_database(the_service_works).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_finds_what_the_first_wrote() {
    for_each_database(async |db| {
        for expected in [StatusCode::CREATED, StatusCode::CONFLICT] {
            let repo = embed_repo::open(db.url()).await.unwrap();
            let service = embed_repo::router(repo.clone());
            let create = json!({ "name": "ada", "balance": 1 });
            assert_eq!(post(&service, "/accounts", create).await, expected);
            repo.close().await;
        }
        let wrong = embed_repo::open("postgress://localhost/accounts").await.unwrap_err();
        assert!(wrong.to_string().contains("postgres"), "{wrong}");
    })
    .await;
}
