//! The ready queue against a naive model, and each rule of its order by itself.

use taskloom_core::ready::{BANDS, DEFAULT_BAND, Order, OverdueOrder, Popped, ReadyQueue};

/// xorshift64*: enough to vary the cases, and a seed repeats them.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % bound
    }
}

#[derive(Clone, Copy)]
struct Item {
    sequence: u64,
    band: usize,
    deadline: Option<u64>,
}

/// The rules as they are written down, over an unsorted list.
struct Model {
    items: Vec<Item>,
    order: Order,
    pops: u32,
    sequence: u64,
}

impl Model {
    fn push(&mut self, band: usize, deadline: Option<u64>) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        self.items.push(Item {
            sequence,
            band,
            deadline,
        });
        sequence
    }

    fn heads(&self) -> Vec<Item> {
        let mut heads = Vec::new();
        for band in 0..BANDS {
            let of_band = || self.items.iter().filter(move |i| i.band == band);
            heads.extend(
                of_band()
                    .filter(|i| i.deadline.is_none())
                    .min_by_key(|i| i.sequence),
            );
            heads.extend(
                of_band()
                    .filter(|i| i.deadline.is_some())
                    .min_by_key(|i| (i.deadline, i.sequence)),
            );
        }
        heads
    }

    fn rank(&self, item: &Item, now: u64) -> (u64, u64, u64) {
        let band = item.band as u64;
        let Some(deadline) = item.deadline else {
            return (band + 1, u64::MAX, item.sequence);
        };
        let counts_as = if deadline < now {
            match self.order.overdue {
                OverdueOrder::First => 0,
                OverdueOrder::InBand => band + 1,
            }
        } else if deadline - now < self.order.lead {
            (band * (deadline - now)).div_ceil(self.order.lead) + 1
        } else {
            band + 1
        };
        (counts_as, deadline, item.sequence)
    }

    fn pop(&mut self, now: u64) -> Option<Popped<u64>> {
        let heads = self.heads();
        if heads.is_empty() {
            return None;
        }
        self.pops += 1;
        let aged = self.order.aging > 0 && self.pops.is_multiple_of(self.order.aging);
        let item = if aged {
            heads.into_iter().min_by_key(|i| i.sequence)?
        } else {
            heads.into_iter().min_by_key(|i| self.rank(i, now))?
        };
        self.items.retain(|i| i.sequence != item.sequence);
        Some(Popped {
            item: item.sequence,
            band: item.band as u8,
            overdue: item.deadline.is_some_and(|d| now > d),
        })
    }

    fn remove(&mut self, item: Option<Item>) -> Option<u64> {
        let sequence = item?.sequence;
        self.items.retain(|i| i.sequence != sequence);
        Some(sequence)
    }

    fn remove_oldest(&mut self) -> Option<u64> {
        self.remove(self.items.iter().min_by_key(|i| i.sequence).copied())
    }

    fn remove_lowest(&mut self, than: usize) -> Option<u64> {
        let last = self.items.iter().max_by_key(|i| {
            let deadline = i.deadline.unwrap_or(u64::MAX);
            (i.band, i.deadline.is_none(), deadline, i.sequence)
        });
        self.remove(last.filter(|i| i.band >= than).copied())
    }
}

fn compare_with_the_model(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let order = Order {
        lead: [0, 7, 100][random.below(3) as usize],
        aging: [0, 1, 2, 5, 64][random.below(5) as usize],
        overdue: [OverdueOrder::First, OverdueOrder::InBand][random.below(2) as usize],
    };
    let timed_share = [0, 1, 5, 10][random.below(4) as usize];
    let push_share = 4 + random.below(4);
    let mut queue = ReadyQueue::new(order);
    let mut model = Model {
        items: Vec::new(),
        order,
        pops: 0,
        sequence: 0,
    };
    let mut now = 0;
    for step in 0..400 {
        now += random.below(4);
        let context = format!("seed {seed}, step {step}, {order:?}");
        match random.below(10) {
            choice if choice < push_share => {
                let band = random.below(BANDS as u64) as usize;
                let timed = random.below(10) < timed_share;
                let deadline = timed.then(|| now + random.below(150));
                let item = model.push(band, deadline);
                queue.push(item, band, deadline);
            }
            8 => assert_eq!(queue.remove_oldest(), model.remove_oldest(), "{context}"),
            9 => {
                let than = random.below(BANDS as u64) as usize;
                assert_eq!(
                    queue.remove_lowest(than),
                    model.remove_lowest(than),
                    "{context}"
                );
            }
            _ => assert_eq!(queue.pop(|| now), model.pop(now), "{context}"),
        }
        assert_eq!(queue.len(), model.items.len(), "{context}");
        let bands = model.items.iter().fold(0, |mask, i| mask | 1_u8 << i.band);
        assert_eq!(queue.bands(), bands, "{context}");
    }
    while let Some(expected) = model.pop(now) {
        assert_eq!(queue.pop(|| now), Some(expected), "seed {seed}, draining");
    }
    assert!(queue.pop(|| now).is_none() && queue.is_empty());
}

#[test]
fn the_queue_behaves_as_its_rules_say_for_a_thousand_seeds() {
    for seed in 0..1000 {
        compare_with_the_model(seed);
    }
}

fn drain(queue: &mut ReadyQueue<&'static str>, now: u64) -> Vec<&'static str> {
    std::iter::from_fn(|| queue.pop(|| now).map(|popped| popped.item)).collect()
}

#[test]
fn a_band_goes_before_the_next_whatever_its_deadlines() {
    let mut queue = ReadyQueue::new(Order::default());
    queue.push("default, due soon", DEFAULT_BAND, Some(1000));
    queue.push("urgent", 0, None);
    assert_eq!(drain(&mut queue, 0), ["urgent", "default, due soon"]);
}

#[test]
fn within_a_band_the_earliest_deadline_goes_first_and_none_goes_last() {
    let mut queue = ReadyQueue::new(Order::default());
    queue.push("none", 4, None);
    queue.push("late", 4, Some(900));
    queue.push("soon", 4, Some(500));
    queue.push("soon too", 4, Some(500));
    assert_eq!(drain(&mut queue, 0), ["soon", "soon too", "late", "none"]);
}

#[test]
fn a_deadline_that_nears_draws_its_item_forward() {
    let order = Order {
        lead: 100,
        ..Order::default()
    };
    let mut queue = ReadyQueue::new(order);
    for _ in 0..2 {
        queue.push("band 2", 2, None);
    }
    queue.push("band 4, due at 1000", 4, Some(1000));
    assert_eq!(queue.pop(|| 940).map(|p| p.item), Some("band 2"));
    assert_eq!(
        queue.pop(|| 950).map(|p| p.item),
        Some("band 4, due at 1000")
    );
}

#[test]
fn an_overdue_item_goes_first_and_says_that_it_is_late() {
    let mut queue = ReadyQueue::new(Order::default());
    queue.push("urgent", 0, None);
    queue.push("overdue", 7, Some(10));
    let popped = queue.pop(|| 11);
    assert_eq!(popped.map(|p| (p.item, p.overdue)), Some(("overdue", true)));
}

#[test]
fn an_overdue_item_can_be_left_in_its_band() {
    let order = Order {
        overdue: OverdueOrder::InBand,
        ..Order::default()
    };
    let mut queue = ReadyQueue::new(order);
    queue.push("overdue", 5, Some(10));
    queue.push("default", 4, None);
    assert_eq!(drain(&mut queue, 11), ["default", "overdue"]);
}

#[test]
fn low_priority_is_served_while_high_priority_keeps_coming() {
    let mut queue = ReadyQueue::new(Order {
        aging: 16,
        ..Order::default()
    });
    queue.push("low", 7, None);
    let mut pops = 0;
    loop {
        queue.push("high", 0, None);
        pops += 1;
        if queue.pop(|| 0).map(|p| p.item) == Some("low") {
            break;
        }
        assert!(pops < 100, "low priority starves");
    }
    assert_eq!(pops, 16);
}

#[test]
fn the_clock_is_not_read_without_deadlines() {
    let mut queue = ReadyQueue::new(Order {
        aging: 3,
        ..Order::default()
    });
    for _ in 0..10 {
        queue.push("no deadline", 3, None);
    }
    while queue.pop(|| unreachable!("the clock was read")).is_some() {}
}

#[test]
fn an_arrival_does_not_displace_what_matters_more() {
    let mut queue = ReadyQueue::new(Order::default());
    queue.push("urgent", 1, None);
    assert_eq!(queue.remove_lowest(2), None);
    assert_eq!(queue.remove_lowest(1), Some("urgent"));
}

#[test]
fn what_is_taken_out_leaves_the_order_of_the_rest() {
    let order = Order {
        aging: 0,
        ..Order::default()
    };
    let (mut queue, mut twin) = (ReadyQueue::new(order), ReadyQueue::new(order));
    for number in 0..2_000_u64 {
        let band = (number * 7 % BANDS as u64) as usize;
        let deadline = (number % 3 == 0).then_some(10_000 - number * 13 % 1_000);
        queue.push(number, band, deadline);
        if number % 5 != 0 {
            twin.push(number, band, deadline);
        }
    }
    let mut taken = queue.take_out(|number| number % 5 == 0);
    taken.sort_unstable();
    assert!(taken.iter().copied().eq((0..2_000).step_by(5)));
    assert_eq!(queue.len(), twin.len());
    assert_eq!(queue.depths(), twin.depths());
    while twin.len() > 800 {
        assert_eq!(queue.remove_oldest(), twin.remove_oldest());
        assert_eq!(
            queue.remove_lowest(BANDS - 1),
            twin.remove_lowest(BANDS - 1)
        );
    }
    while let Some(next) = twin.pop(|| 0) {
        assert_eq!(queue.pop(|| 0).map(|popped| popped.item), Some(next.item));
    }
    assert!(queue.is_empty());
}
