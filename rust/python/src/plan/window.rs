//! Which nodes share a window: at most so many of them run at once.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

/// The windows of a graph or, by position, of a plan.
#[derive(Default, Clone)]
pub struct Windows {
    /// How many nodes of each window may run at once.
    pub limits: Vec<u32>,
    /// The window of each node that is in one.
    pub members: HashMap<u32, u32>,
}

impl Windows {
    /// The same by position; nodes that a plan does not have are left out.
    pub(super) fn placed(&self, position: &[u32]) -> Windows {
        let members = self.members.iter().filter_map(|(&node, &window)| {
            position.get(node as usize).map(|&place| (place, window))
        });
        Windows {
            limits: self.limits.clone(),
            members: members.collect(),
        }
    }
}

/// One window in one run. Slots are handed on in the order in which nodes came to wait for one: whoever
/// leaves admits the next, and an admitted node that is not run after all has to leave as well.
pub struct Window {
    state: Mutex<State>,
}

struct State {
    free: u32,
    waiting: VecDeque<u32>,
    /// Nodes that have a slot and have not come back to use it.
    admitted: Vec<u32>,
}

impl Window {
    pub fn new(limit: u32) -> Self {
        Window {
            state: Mutex::new(State {
                free: limit,
                waiting: VecDeque::new(),
                admitted: Vec::new(),
            }),
        }
    }

    /// Whether a ready node may run now; if not, some `leave` will return it.
    #[must_use]
    pub fn enter(&self, node: u32) -> bool {
        let mut state = self.state.lock();
        if take_out(&mut state.admitted, node) {
            return true;
        }
        // Nobody waits while a slot is free: a slot becomes free only when nobody waits.
        if state.free > 0 {
            state.free -= 1;
            return true;
        }
        state.waiting.push_back(node);
        false
    }

    /// A node has run: the one that has its slot now, and is to be made ready again, if any waits.
    #[must_use]
    pub fn leave(&self) -> Option<u32> {
        self.state.lock().hand_on()
    }

    /// A node will not be run: as `leave`, if it has a slot.
    #[must_use]
    pub fn give_up(&self, node: u32) -> Option<u32> {
        let mut state = self.state.lock();
        if take_out(&mut state.admitted, node) {
            return state.hand_on();
        }
        None
    }
}

impl State {
    fn hand_on(&mut self) -> Option<u32> {
        match self.waiting.pop_front() {
            Some(next) => {
                self.admitted.push(next);
                Some(next)
            }
            None => {
                self.free += 1;
                None
            }
        }
    }
}

fn take_out(nodes: &mut Vec<u32>, node: u32) -> bool {
    let place = nodes.iter().position(|&other| other == node);
    place.map(|place| nodes.swap_remove(place)).is_some()
}
