//! Many clients at once, some hostile, some gone before the answer.

use detcon_tests::crowd::{self, Crowd};
use detcon_tests::models;
use detcon_tests::service::{self, Service};

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_crowd_has_one_outcome_and_none_is_wrong() {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let flags = crowd::flags();
    let flags = flags.each_ref().map(String::as_str);
    let service = Service::start(store.path(), &flags).await;
    let crowd = Crowd {
        requests: 600,
        clients: 24,
        seed: 7,
    };
    let outcomes = crowd::send(service.address, crowd).await;
    assert!(outcomes.wrong.is_empty(), "{:#?}", outcomes.wrong);
    assert_eq!(outcomes.requests(), crowd.requests);
    assert!(
        outcomes.answered > 400 && outcomes.left > 20 && outcomes.ended > 0,
        "{outcomes:?}"
    );
    assert!(
        outcomes.rejected.values().sum::<usize>() > 20,
        "{outcomes:?}"
    );
    service.stop().await;
}
