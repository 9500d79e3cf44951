use super::*;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, thread};
use std::task::Poll;

#[cfg(not(loom))]
mod behaviour_tests;

/// Counts its wakes; made unwanted by a count that no test reaches.
#[derive(Clone)]
struct Count(Arc<AtomicUsize>);

const UNWANTED: usize = 1_000;

impl Wake for Count {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn is_wanted(&self) -> bool {
        self.get() < UNWANTED
    }
}

impl Count {
    fn cancel(&self) {
        self.0.fetch_add(UNWANTED, Ordering::SeqCst);
    }

    fn new() -> Self {
        Count(Arc::new(AtomicUsize::new(0)))
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

type Ints = Channel<u32, Count>;

fn channel(capacity: usize) -> Ints {
    let channel = Channel::new(capacity);
    assert!(channel.add_sender() && channel.add_receiver());
    channel
}

/// Runs a model under loom, or once without.
fn model(f: impl Fn() + Send + Sync + 'static) {
    #[cfg(loom)]
    loom::model(f);
    #[cfg(not(loom))]
    f();
}

fn drain(c: &Ints) -> Vec<u32> {
    std::iter::from_fn(|| c.try_receive().ok()).collect()
}

#[test]
fn loom_model_a_receive_that_is_left_while_an_item_is_sent() {
    model(|| {
        let c = Arc::new(channel(1));
        let other = {
            let c = Arc::clone(&c);
            thread::spawn(move || c.try_send(7))
        };
        let mut receive = Receiving::at(1);
        let mut got = Vec::new();
        match receive.poll(&c, Count::new) {
            Poll::Ready(item) => got.extend(item),
            Poll::Pending => receive.leave(&c),
        }
        assert_eq!(other.join().ok(), Some(Ok(())));
        got.extend(drain(&c));
        assert_eq!(got, [7]);
    });
}

#[test]
fn loom_model_a_send_that_is_left_while_its_item_is_received() {
    model(|| {
        let c = Arc::new(channel(0));
        let other = {
            let c = Arc::clone(&c);
            thread::spawn(move || c.try_receive().ok())
        };
        let mut send = Sending::one(7, 1);
        let sent = match send.poll(&c, Count::new) {
            Poll::Ready(sent) => sent.is_ok(),
            Poll::Pending => !send.leave(&c),
        };
        let mut got: Vec<u32> = other.join().ok().flatten().into_iter().collect();
        got.extend(drain(&c));
        assert_eq!(got.len(), usize::from(sent));
    });
}

#[test]
fn loom_model_a_wake_is_never_missed() {
    model(|| {
        let c = Arc::new(channel(1));
        let wakes = Count::new();
        let other = {
            let c = Arc::clone(&c);
            thread::spawn(move || {
                let _ = c.try_send(1);
                c.remove_sender(1);
            })
        };
        let mut receive = Receiving::at(1);
        let first = receive.poll(&c, || wakes.clone());
        assert!(other.join().is_ok());
        if first.is_pending() {
            assert_eq!(wakes.get(), 1);
            assert_eq!(receive.poll(&c, || wakes.clone()), Poll::Ready(Ok(1)));
        } else {
            assert_eq!(first, Poll::Ready(Ok(1)));
        }
        assert_eq!(c.try_receive(), Err(ReceiveError::Ended));
    });
}

#[test]
fn loom_model_a_select_happens_in_exactly_one_channel() {
    model(|| {
        let (a, b) = (Arc::new(channel(1)), Arc::new(channel(1)));
        let other = {
            let (a, b) = (Arc::clone(&a), Arc::clone(&b));
            thread::spawn(move || {
                let _ = a.try_send(1);
                let _ = b.try_send(2);
            })
        };
        let mut select = Selecting::default();
        let arms = &mut [(&*a, Arm::Receive(1)), (&*b, Arm::Receive(1))];
        let mut got = Vec::new();
        match select.poll(arms, 1, Count::new) {
            Poll::Ready((_, Outcome::Item(item))) => got.push(item),
            Poll::Ready(_) => unreachable!("nothing ended"),
            Poll::Pending => assert!(select.leave(arms).is_none()),
        }
        assert!(other.join().is_ok());
        got.extend(drain(&a));
        got.extend(drain(&b));
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn loom_model_two_selects_that_meet_in_two_channels_neither_block_nor_lose() {
    model(|| {
        let (a, b) = (Arc::new(channel(0)), Arc::new(channel(0)));
        let other = {
            let (a, b) = (Arc::clone(&a), Arc::clone(&b));
            thread::spawn(move || {
                let mut select = Selecting::default();
                let arms = &mut [(&*b, Arm::Send(1, Some(1))), (&*a, Arm::Send(1, Some(2)))];
                let ready = select.poll(arms, 0, Count::new).is_ready();
                let sent = ready || select.leave(arms).is_some();
                usize::from(sent)
            })
        };
        let mut select = Selecting::default();
        let arms = &mut [(&*a, Arm::Receive(1)), (&*b, Arm::Receive(1))];
        let mut got = Vec::new();
        match select.poll(arms, 0, Count::new) {
            Poll::Ready((_, Outcome::Item(item))) => got.push(item),
            Poll::Ready(_) => unreachable!("nothing ended"),
            Poll::Pending => {
                let _ = select.leave(arms);
            }
        }
        let sent = other.join().unwrap_or(99);
        got.extend(drain(&a));
        got.extend(drain(&b));
        assert_eq!(got.len(), sent);
    });
}

#[test]
fn loom_model_a_batch_that_is_left_halfway_has_sent_a_prefix() {
    model(|| {
        let c = Arc::new(channel(0));
        let other = {
            let c = Arc::clone(&c);
            thread::spawn(move || {
                let mut got = Vec::new();
                let _ = c.try_receive_many(&mut got, 2);
                got
            })
        };
        let mut send = Sending::many([1, 2].into(), 1);
        let all = match send.poll(&c, Count::new) {
            Poll::Ready(sent) => sent.is_ok(),
            Poll::Pending => !send.leave(&c),
        };
        let got = other.join().unwrap_or_default();
        assert!([1, 2].starts_with(&got));
        if all {
            assert_eq!(got, [1, 2]);
        }
    });
}

#[test]
fn loom_model_a_send_that_meets_the_end_is_received_or_refused() {
    model(|| {
        let c = Arc::new(channel(1));
        let other = {
            let c = Arc::clone(&c);
            thread::spawn(move || {
                let mut send = Sending::one(7, 1);
                match send.poll(&c, Count::new) {
                    Poll::Ready(sent) => sent,
                    Poll::Pending => unreachable!("there is room"),
                }
            })
        };
        c.remove_sender(1);
        let got = drain(&c);
        assert_eq!(c.try_receive(), Err(ReceiveError::Ended));
        match other.join().ok() {
            Some(Ok(())) => assert_eq!(got, [7]),
            sent => {
                assert_eq!(sent, Some(Err(NotSent::Closed)));
                assert_eq!(got, []);
            }
        }
        assert_eq!(c.try_receive(), Err(ReceiveError::Ended));
    });
}
