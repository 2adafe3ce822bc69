use super::*;
use crate::observe::metrics::Metrics;

const A: ClientKey = ClientKey::V6(1);
const B: ClientKey = ClientKey::V6(2);
const C: ClientKey = ClientKey::V6(3);

fn queue(permits: usize) -> Arc<Queue> {
    Queue::new(
        permits,
        Duration::from_secs(15),
        Metrics::new().unwrap().queue("a"),
    )
}

async fn enter(queue: &Arc<Queue>, client: ClientKey) -> Option<Permit> {
    match queue.enter(client) {
        Admission::Granted(permit) => Some(permit),
        Admission::Queued(waiter) => waiter.permit().await,
        Admission::Full => None,
    }
}

fn waiting_and_in_use(queue: &Queue) -> (usize, usize) {
    let state = lock(&queue.state);
    (state.waiting, state.in_use)
}

/// Runs every task that can run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_permit_waits_and_then_gives_up() {
    let queue = queue(2);
    let (_first, second) = (
        enter(&queue, A).await.unwrap(),
        enter(&queue, B).await.unwrap(),
    );
    let began = tokio::time::Instant::now();
    assert_eq!(enter(&queue, B).await.map(drop), None);
    assert_eq!(began.elapsed(), Duration::from_secs(15));
    assert_eq!(waiting_and_in_use(&queue), (0, 2));
    drop(second);
    assert!(
        enter(&queue, B).await.is_some(),
        "a waiter that gave up holds no permit"
    );
    assert_eq!(waiting_and_in_use(&queue), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn new_limits_apply_to_requests_that_wait() {
    let queue = queue(2);
    let (first, second) = (
        enter(&queue, A).await.unwrap(),
        enter(&queue, B).await.unwrap(),
    );
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { enter(&queue, C).await.map(drop) }
    });
    settle().await;
    queue.resize(1, Duration::from_secs(1));
    assert_eq!(queue.metrics.in_flight_max.get(), 1);
    drop(first);
    settle().await;
    assert_eq!(waiting_and_in_use(&queue), (1, 1), "one permit only");
    queue.resize(2, Duration::from_secs(1));
    assert_eq!(waiting.await.unwrap(), Some(()), "the new permit");
    drop(second);
    assert_eq!(waiting_and_in_use(&queue), (0, 0));
    let _all = (
        enter(&queue, A).await.unwrap(),
        enter(&queue, B).await.unwrap(),
    );
    let began = tokio::time::Instant::now();
    assert_eq!(enter(&queue, C).await.map(drop), None);
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn clients_that_wait_get_permits_in_turn() {
    let queue = queue(2);
    let _held = enter(&queue, C).await.unwrap();
    let held = enter(&queue, A).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for client in [A, A, A, B] {
        let (queue, order) = (queue.clone(), order.clone());
        tokio::spawn(async move {
            let _permit = enter(&queue, client).await.unwrap();
            order.lock().unwrap().push(client);
        });
        settle().await;
    }
    drop(held);
    settle().await;
    assert_eq!(*order.lock().unwrap(), [A, B, A, A]);
}

#[tokio::test(start_paused = true)]
async fn one_client_may_fill_half_of_the_queue() {
    let queue = queue(1);
    let _held = enter(&queue, A).await.unwrap();
    for _ in 0..2 {
        tokio::spawn({
            let queue = queue.clone();
            async move { enter(&queue, A).await.is_some() }
        });
    }
    settle().await;
    let began = tokio::time::Instant::now();
    assert_eq!(enter(&queue, A).await.map(drop), None);
    assert_eq!(began.elapsed(), Duration::ZERO, "refused at once");
    tokio::spawn({
        let queue = queue.clone();
        async move { enter(&queue, B).await.is_some() }
    });
    settle().await;
    assert_eq!(waiting_and_in_use(&queue), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_makes_room_at_once() {
    let queue = queue(1);
    let held = enter(&queue, A).await.unwrap();
    let spawn = |client| {
        let queue = queue.clone();
        tokio::spawn(async move { enter(&queue, client).await.is_some() })
    };
    let (first, second) = (spawn(A), spawn(A));
    let other = spawn(B);
    settle().await;
    assert_eq!(waiting_and_in_use(&queue), (3, 1));
    first.abort();
    second.abort();
    settle().await;
    assert_eq!(waiting_and_in_use(&queue), (1, 1));
    // This one leaves at the moment in which it is granted a permit.
    drop(held);
    other.abort();
    settle().await;
    assert_eq!(waiting_and_in_use(&queue), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_cannot_hold_every_permit() {
    let queue = queue(8);
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(enter(&queue, A).await.unwrap());
    }
    let waits = tokio::spawn({
        let queue = queue.clone();
        async move { enter(&queue, A).await.is_some() }
    });
    settle().await;
    assert_eq!(waiting_and_in_use(&queue), (1, 7));
    let _eighth = enter(&queue, B).await.unwrap();
    held.pop();
    assert!(waits.await.unwrap());
}
