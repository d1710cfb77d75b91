//! What is fetched and what is not, from a server of the test's own.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Redirect;
use axum::routing::get;
use tokio::net::TcpListener;

use super::*;

/// A server on a free port, and its origin.
async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await });
    origin
}

fn fetcher(origin: &str, inside: bool) -> Fetcher {
    Fetcher::new(vec![origin.parse().unwrap()], inside)
}

async fn fetch(fetcher: &Fetcher, address: &str) -> Result<Bytes, FetchError> {
    let address = fetcher.address(address).unwrap();
    let room = Room {
        bytes: 10,
        held: 0,
        memory: Memory::new(1 << 20),
        share: Share::default(),
    };
    let found = fetcher.fetch(address, room).await;
    found.map(|(bytes, _share)| bytes)
}

#[tokio::test]
async fn an_image_is_fetched_within_its_limit() {
    let accepts = async |headers: HeaderMap| headers["accept"] == "image/*";
    let origin = serve(
        Router::new()
            .route("/ten", get(async || "0123456789"))
            .route("/eleven", get(async || "0123456789a"))
            .route(
                "/accept",
                get(async move |it: HeaderMap| accepts(it).await.to_string()),
            ),
    )
    .await;
    let fetcher = fetcher(&origin, true);
    let at = |path: &str| format!("{origin}{path}");
    assert_eq!(fetch(&fetcher, &at("/ten")).await.unwrap(), "0123456789");
    assert_eq!(fetch(&fetcher, &at("/accept")).await.unwrap(), "true");
    assert_eq!(
        fetch(&fetcher, &at("/eleven")).await,
        Err(FetchError::TooLarge)
    );
    let missing = FetchError::Status { status: 404 };
    assert_eq!(fetch(&fetcher, &at("/none")).await, Err(missing));
}

#[tokio::test]
async fn addresses_inside_the_network_are_refused_even_of_listed_origins() {
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mark = Arc::clone(&asked);
    let origin = serve(
        Router::new()
            .fallback(async move || mark.store(true, std::sync::atomic::Ordering::Relaxed)),
    )
    .await;
    let port = origin.rsplit(':').next().unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
    ] {
        let origin = format!("http://{host}:{port}");
        let found = fetch(&fetcher(&origin, false), &format!("{origin}/")).await;
        assert_eq!(found, Err(FetchError::Address), "{origin}");
    }
    assert!(!asked.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test]
async fn redirects_are_followed_within_listed_origins_only() {
    let other = serve(Router::new().route("/image", get(async || "secret"))).await;
    let there = format!("{other}/image");
    let origin = serve(
        Router::new()
            .route("/image", get(async || "image"))
            .route("/near", get(async || Redirect::temporary("/image")))
            .route("/far", get(async move || Redirect::temporary(&there)))
            .route(
                "/file",
                get(async || Redirect::temporary("file:///etc/passwd")),
            )
            .route("/round", get(async || Redirect::temporary("/round"))),
    )
    .await;
    let fetcher = fetcher(&origin, true);
    let at = |path: &str| format!("{origin}{path}");
    assert_eq!(fetch(&fetcher, &at("/near")).await.unwrap(), "image");
    for (path, error) in [
        ("/far", FetchError::Redirect),
        ("/file", FetchError::Redirect),
        ("/round", FetchError::Redirects),
    ] {
        assert_eq!(fetch(&fetcher, &at(path)).await, Err(error), "{path}");
    }
}
