//! A web server as axum's own documentation begins with, on every address of both families.

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello from axum" }));
    let listener = tokio::net::TcpListener::bind("[::]:3000").await.expect("binding");
    axum::serve(listener, app).await.expect("serving");
}
