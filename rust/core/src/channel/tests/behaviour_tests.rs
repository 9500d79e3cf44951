//! What a channel does, without threads that meet (but for one test with many).

use super::*;

#[test]
fn items_come_out_in_order_and_a_full_channel_refuses() {
    let c = channel(2);
    assert_eq!(c.try_send(1), Ok(()));
    assert_eq!(c.try_send(2), Ok(()));
    assert_eq!(c.try_send(3), Err(SendError::Full(3)));
    assert_eq!(c.try_receive(), Ok(1));
    assert_eq!(c.try_receive(), Ok(2));
    assert_eq!(c.try_receive(), Err(ReceiveError::Empty));
}

#[test]
fn a_waiting_receiver_is_given_the_item_and_woken_once() {
    let (c, wakes) = (channel(0), Count::new());
    let mut receive = Receiving::at(1);
    assert_eq!(receive.poll(&c, || wakes.clone()), Poll::Pending);
    assert_eq!(c.try_send(7), Ok(()));
    assert_eq!(wakes.get(), 1);
    assert_eq!(receive.poll(&c, || wakes.clone()), Poll::Ready(Ok(7)));
}

#[test]
fn a_waiter_whose_owner_was_cancelled_is_passed_over() {
    let (c, first, second) = (channel(0), Count::new(), Count::new());
    let (mut early, mut late) = (Receiving::at(1), Receiving::at(1));
    assert!(early.poll(&c, || first.clone()).is_pending());
    assert!(late.poll(&c, || second.clone()).is_pending());
    first.cancel();
    assert_eq!(c.try_send(7), Ok(()));
    assert_eq!(late.poll(&c, || second.clone()), Poll::Ready(Ok(7)));
    assert!(early.poll(&c, || first.clone()).is_pending());
    early.leave(&c);

    let (first, second) = (Count::new(), Count::new());
    let (mut early, mut late) = (Sending::one(1, 1), Sending::many([2, 3].into(), 1));
    assert!(early.poll(&c, || first.clone()).is_pending());
    assert!(late.poll(&c, || second.clone()).is_pending());
    first.cancel();
    assert_eq!(c.try_receive(), Ok(2));
    second.cancel();
    assert_eq!(c.try_receive(), Err(ReceiveError::Empty));
    assert!(early.leave(&c) && late.leave(&c));
}

#[test]
fn closing_an_end_ends_the_waits_at_it_and_no_others() {
    let (c, wakes) = (channel(0), Count::new());
    assert!(c.add_sender() && c.add_receiver());
    let (mut closed, mut open) = (Receiving::at(1), Receiving::at(2));
    assert!(closed.poll(&c, || wakes.clone()).is_pending());
    assert!(open.poll(&c, || wakes.clone()).is_pending());
    c.remove_receiver(1);
    assert_eq!(wakes.get(), 1);
    let ended = closed.poll(&c, || wakes.clone());
    assert_eq!(ended, Poll::Ready(Err(ReceiveError::Closed)));
    assert_eq!(c.try_send(7), Ok(()));
    assert_eq!(open.poll(&c, || wakes.clone()), Poll::Ready(Ok(7)));

    let (mut closed, mut open) = (Sending::one(8, 1), Sending::one(9, 2));
    assert!(closed.poll(&c, || wakes.clone()).is_pending());
    assert!(open.poll(&c, || wakes.clone()).is_pending());
    c.remove_sender(1);
    let ended = closed.poll(&c, || wakes.clone());
    assert_eq!(ended, Poll::Ready(Err(NotSent::Closed)));
    assert_eq!(c.try_receive(), Ok(9));
    assert_eq!(open.poll(&c, || wakes.clone()), Poll::Ready(Ok(())));
}

#[test]
fn receivers_are_served_first_come_first_served() {
    let (c, wakes) = (channel(1), Count::new());
    let mut receives: Vec<_> = (0..3).map(|_| Receiving::at(1)).collect();
    for receive in &mut receives {
        assert!(receive.poll(&c, || wakes.clone()).is_pending());
    }
    receives[1].leave(&c);
    c.try_send(1).unwrap_or(());
    c.try_send(2).unwrap_or(());
    let got = |r: &mut Receiving<_, _>| r.poll(&c, || wakes.clone());
    assert_eq!(got(&mut receives[0]), Poll::Ready(Ok(1)));
    assert_eq!(got(&mut receives[2]), Poll::Ready(Ok(2)));
}

#[test]
fn a_waiting_sender_is_let_in_when_an_item_leaves() {
    let (c, wakes) = (channel(1), Count::new());
    c.try_send(1).unwrap_or(());
    let mut send = Sending::one(2, 1);
    assert!(send.poll(&c, || wakes.clone()).is_pending());
    assert_eq!(c.try_receive(), Ok(1));
    assert_eq!(send.poll(&c, || wakes.clone()), Poll::Ready(Ok(())));
    assert_eq!(c.try_receive(), Ok(2));
}

#[test]
fn a_send_that_was_left_sends_nothing() {
    let (c, wakes) = (channel(0), Count::new());
    let mut send = Sending::one(2, 1);
    assert!(send.poll(&c, || wakes.clone()).is_pending());
    assert!(send.leave(&c));
    assert_eq!(c.try_receive(), Err(ReceiveError::Empty));
    assert_eq!(c.stats().waiting_senders, 0);
}

#[test]
fn an_item_handed_to_a_receive_that_leaves_goes_to_the_next_receiver() {
    let (c, wakes) = (channel(1), Count::new());
    let (mut first, mut second) = (Receiving::at(1), Receiving::at(1));
    assert!(first.poll(&c, || wakes.clone()).is_pending());
    assert!(second.poll(&c, || wakes.clone()).is_pending());
    c.try_send(5).unwrap_or(());
    first.leave(&c);
    assert_eq!(second.poll(&c, || wakes.clone()), Poll::Ready(Ok(5)));
    assert_eq!((c.stats().sent, c.stats().received), (1, 1));
}

#[test]
fn a_batch_larger_than_the_channel_trickles_through_in_order() {
    let (c, wakes) = (channel(2), Count::new());
    let mut send = Sending::many((0..7).collect(), 1);
    assert!(send.poll(&c, || wakes.clone()).is_pending());
    let mut got = Vec::new();
    while let Ok(1..) = c.try_receive_many(&mut got, 3) {}
    assert_eq!(got, (0..7).collect::<Vec<_>>());
    assert_eq!(send.poll(&c, || wakes.clone()), Poll::Ready(Ok(())));
    assert_eq!(wakes.get(), 1);
}

#[test]
fn the_last_sender_leaving_ends_it_after_what_is_left() {
    let (c, wakes) = (channel(2), Count::new());
    assert!(c.add_sender());
    c.try_send(1).unwrap_or(());
    c.remove_sender(1);
    c.remove_sender(1);
    let mut receive = Receiving::at(1);
    assert_eq!(receive.poll(&c, || wakes.clone()), Poll::Ready(Ok(1)));
    let mut receive = Receiving::at(1);
    let ended = Poll::Ready(Err(ReceiveError::Ended));
    assert_eq!(receive.poll(&c, || wakes.clone()), ended);
    assert!(!c.add_sender());
}

#[test]
fn nothing_is_sent_after_the_last_sender_left() {
    let (c, wakes) = (channel(1), Count::new());
    c.remove_sender(1);
    assert_eq!(c.try_send(1), Err(SendError::Closed(1)));
    let mut batch = [1, 2].into();
    assert_eq!(c.try_send_many(&mut batch), Err(NotSent::Closed));
    assert_eq!(batch, [1, 2]);
    let mut late = Sending::one(1, 1);
    let sent = late.poll(&c, || wakes.clone());
    assert_eq!(sent, Poll::Ready(Err(NotSent::Closed)));
    let mut select = Selecting::default();
    let arms = &mut [(&c, Arm::Send(1, Some(1)))];
    let chosen = select.poll(arms, 0, || wakes.clone());
    assert_eq!(chosen, Poll::Ready((0, Outcome::Closed)));
    assert_eq!(c.try_receive(), Err(ReceiveError::Ended));
}

#[test]
fn a_channel_that_had_no_sender_yet_has_not_ended() {
    let c = Ints::new(1);
    assert!(c.add_receiver());
    assert_eq!(c.try_receive(), Err(ReceiveError::Empty));
}

#[test]
fn the_last_receiver_leaving_breaks_waiting_senders_and_drops_the_buffer() {
    let (c, wakes) = (channel(1), Count::new());
    c.try_send(1).unwrap_or(());
    let mut send = Sending::one(2, 1);
    assert!(send.poll(&c, || wakes.clone()).is_pending());
    c.remove_receiver(1);
    assert_eq!(
        send.poll(&c, || wakes.clone()),
        Poll::Ready(Err(NotSent::Broken))
    );
    assert_eq!(c.try_send(3), Err(SendError::Broken(3)));
    assert_eq!(c.stats().buffered, 0);
}

#[test]
fn a_select_takes_one_arm_and_withdraws_the_others() {
    let (a, b, wakes) = (channel(1), channel(1), Count::new());
    let mut select = Selecting::default();
    let arms = &mut [(&a, Arm::Receive(1)), (&b, Arm::Receive(1))];
    assert!(select.poll(arms, 0, || wakes.clone()).is_pending());
    b.try_send(4).unwrap_or(());
    a.try_send(3).unwrap_or(());
    let chosen = select.poll(arms, 0, || wakes.clone());
    assert_eq!(chosen, Poll::Ready((1, Outcome::Item(4))));
    assert_eq!(a.stats().waiting_receivers, 0);
    assert_eq!(a.try_receive(), Ok(3));
}

#[test]
fn a_select_that_sends_keeps_the_item_of_the_arm_not_taken() {
    let (a, b, wakes) = (channel(0), channel(0), Count::new());
    let mut select = Selecting::default();
    let arms = &mut [(&a, Arm::Send(1, Some(1))), (&b, Arm::Send(1, Some(2)))];
    assert!(select.poll(arms, 0, || wakes.clone()).is_pending());
    assert_eq!(b.try_receive(), Ok(2));
    let chosen = select.poll(arms, 0, || wakes.clone());
    assert_eq!(chosen, Poll::Ready((1, Outcome::Sent)));
    assert_eq!(a.try_receive(), Err(ReceiveError::Empty));
}

#[test]
fn threads_that_come_and_go_lose_and_repeat_nothing() {
    const EACH: u32 = 3_000;
    let c = std::sync::Arc::new(channel(3));
    for _ in 1..4 {
        assert!(c.add_sender());
    }
    let senders: Vec<_> = (0..4)
        .map(|k| {
            let c = std::sync::Arc::clone(&c);
            std::thread::spawn(move || {
                for i in 0..EACH {
                    let mut item = Sending::one(k * EACH + i, k as usize);
                    // A send that is left now and then, and tried again.
                    loop {
                        match item.poll(&c, Count::new) {
                            Poll::Ready(sent) => break assert!(sent.is_ok()),
                            Poll::Pending if i % 3 == 0 => {
                                if !item.leave(&c) {
                                    break;
                                }
                                item = Sending::one(k * EACH + i, k as usize);
                            }
                            Poll::Pending => std::thread::yield_now(),
                        }
                    }
                }
                c.remove_sender(k as usize);
            })
        })
        .collect();
    let receivers: Vec<_> = (0..4)
        .map(|k| {
            let c = std::sync::Arc::clone(&c);
            std::thread::spawn(move || {
                let mut got = Vec::new();
                let mut receive = Receiving::at(1);
                loop {
                    match receive.poll(&c, Count::new) {
                        Poll::Ready(Ok(item)) => got.push(item),
                        Poll::Ready(Err(_)) => return got,
                        Poll::Pending if got.len() % 3 == k => receive.leave(&c),
                        Poll::Pending => std::thread::yield_now(),
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        assert!(sender.join().is_ok());
    }
    let mut all: Vec<u32> = receivers
        .into_iter()
        .flat_map(|receiver| receiver.join().unwrap_or_default())
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..4 * EACH).collect::<Vec<_>>());
}
