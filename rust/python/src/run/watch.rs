//! What is noted of the nodes of a run that is watched: when each ran and where, and who is told.
//!
//! Each node has a place of its own in the record, made before the run begins, so that noting takes no
//! lock and nothing is ever dropped. Nodes follow each other closely on a participant: where one ended
//! the next has begun, so that the clock is read once for each. Ticks become seconds when somebody asks.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use pyo3::prelude::*;
use taskloom_core::clock;
use taskloom_core::pool::Worker;
use taskloom_core::run::Outcome;

use super::execution::Execution;
use super::failure::NO_NODE;
use super::scratch::Scratch;
use crate::future;

/// Where a node ran that no thread of this process ran, or nobody knows which.
const ELSEWHERE: u32 = (1 << STATUS) - 1;
/// From this bit of a place on stands how the node ended.
const STATUS: u32 = 24;

/// One node's part of the record; 0 for what has not happened.
#[derive(Default)]
struct Span {
    start: AtomicU64,
    /// Stored last: who sees it sees the others.
    end: AtomicU64,
    /// One more than the worker's index, 0 for a thread from outside; and the status.
    place: AtomicU32,
}

impl Span {
    fn begin(&self, start: u64, place: u32) {
        self.place.store(place, Relaxed);
        self.start.store(start, Release);
    }

    fn end(&self, end: u64, place: u32, outcome: Outcome) {
        let status = match outcome {
            Outcome::Done => 0,
            Outcome::Failed | Outcome::Fatal => 1,
            Outcome::Cancelled | Outcome::Pending => 2,
            Outcome::Ended | Outcome::LeftOut => 3,
            Outcome::Aborted => 4,
            Outcome::Skipped(_) => 5,
        };
        self.place.store(place | status << STATUS, Relaxed);
        self.end.store(end, Release);
    }
}

/// What a watched run notes.
pub struct Watch {
    spans: Box<[Span]>,
    /// Called with each event; it raises only what asks for a stop.
    on_event: Option<Py<PyAny>>,
    /// When the run was stopped; 0 if it was not.
    stopped: AtomicU64,
}

/// What a participant of a watched run keeps to itself.
pub struct Watcher {
    /// When it was last free to begin a node.
    last: u64,
    place: u32,
}

impl Watcher {
    pub fn new() -> Self {
        Watcher {
            last: clock::ticks(),
            place: here(),
        }
    }

    /// Something that took time was done between two nodes.
    pub fn go_on(&mut self) {
        self.last = clock::ticks();
    }
}

fn here() -> u32 {
    Worker::with_current(|worker| worker.map_or(0, |worker| worker.index() as u32 + 1))
}

/// Start and end in seconds of the system's monotonic clock, worker (-1 for a thread from outside, None for
/// elsewhere), and status.
pub type Entry = (f64, Option<f64>, Option<i64>, &'static str);

fn worker_of(place: u32) -> Option<i64> {
    (place != ELSEWHERE).then(|| i64::from(place) - 1)
}

fn seconds(ticks: u64) -> f64 {
    clock::monotonic_nanos(ticks) as f64 * 1e-9
}

impl Watch {
    pub fn new(nodes: usize, on_event: Option<Py<PyAny>>) -> Self {
        Watch {
            spans: (0..nodes).map(|_| Span::default()).collect(),
            on_event,
            stopped: AtomicU64::new(0),
        }
    }

    pub fn note_stop(&self) {
        let now = clock::ticks();
        // The first one counts.
        let _ = self.stopped.compare_exchange(0, now, Relaxed, Relaxed);
    }

    /// When the run was stopped, in seconds.
    pub fn stopped(&self) -> Option<f64> {
        let stopped = self.stopped.load(Relaxed);
        (stopped > 0).then(|| seconds(stopped))
    }

    pub fn on_event(&self) -> Option<&Py<PyAny>> {
        self.on_event.as_ref()
    }

    /// What is known of the node at a position; None if it has not begun.
    pub fn entry(&self, position: u32) -> Option<Entry> {
        let span = &self.spans[position as usize];
        let end = span.end.load(Acquire);
        let start = span.start.load(Acquire);
        if start == 0 {
            return None;
        }
        let place = span.place.load(Relaxed);
        let status = match place >> STATUS {
            _ if end == 0 => "running",
            0 => "done",
            1 => "failed",
            2 => "cancelled",
            3 => "ended",
            4 => "aborted",
            _ => "skipped",
        };
        let worker = worker_of(place & ELSEWHERE);
        Some((
            seconds(start),
            (end > 0).then(|| seconds(end)),
            worker,
            status,
        ))
    }
}

fn word_for(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed | Outcome::Fatal => "failed",
        Outcome::Cancelled | Outcome::Pending => "cancelled",
        Outcome::Ended | Outcome::LeftOut => "ended",
        Outcome::Aborted => "aborted",
        Outcome::Skipped(_) => "skipped",
    }
}

impl Execution {
    /// As `call_node`, and notes when that was.
    ///
    /// # Safety
    /// As for `NodeExec::execute`.
    #[inline(never)]
    pub(super) unsafe fn call_watched<const SERIAL: bool>(
        &self,
        node: u32,
        scratch: &mut Scratch,
    ) -> Outcome {
        if self.tables().step(node).is_direct() {
            self.begin_watched(node, scratch);
        }
        // SAFETY: as the caller promises.
        let outcome = unsafe { self.call_node::<SERIAL>(node, scratch) };
        let (Some(watch), Some(watcher)) = (&self.watch, &mut scratch.watcher) else {
            return outcome;
        };
        let now = clock::ticks();
        if outcome != Outcome::Pending {
            watch.spans[node as usize].end(now, watcher.place, outcome);
        }
        watcher.last = now;
        if outcome != Outcome::Pending && watch.on_event.is_some() {
            self.tell(
                node,
                "finished",
                watcher.place,
                now,
                Some(word_for(outcome)),
            );
            watcher.go_on();
        }
        outcome
    }

    /// Notes that a node begins: at once for a plain one, for others when nothing holds them back.
    #[inline]
    pub(super) fn begin_watched(&self, node: u32, scratch: &mut Scratch) {
        let (Some(watch), Some(watcher)) = (&self.watch, &mut scratch.watcher) else {
            return;
        };
        if watch.on_event.is_some() {
            self.tell(node, "started", watcher.place, watcher.last, None);
            watcher.go_on();
        }
        watch.spans[node as usize].begin(watcher.last, watcher.place);
    }

    /// Notes the end of a node that ran as a task of its own.
    pub(super) fn note_elsewhere(&self, node: u32, task: &Bound<'_, PyAny>, outcome: Outcome) {
        let Some(watch) = &self.watch else {
            return;
        };
        let span = &watch.spans[node as usize];
        let mut place = ELSEWHERE;
        let mut end = clock::ticks();
        // One that ends when its thread has left the call stands before the task's own.
        let own = task.getattr("_inner").unwrap_or_else(|_| task.clone());
        if let Some(record) = future::native(&own).and_then(future::record_of) {
            let (began, ended) = (record.started.load(Relaxed), record.finished.load(Relaxed));
            if let Some(index) = record.worker.load(Relaxed).checked_sub(1) {
                place = index + 1;
            }
            if began > 0 {
                span.start.store(began, Relaxed);
            } else if outcome == Outcome::Cancelled {
                // It never began: what was noted is when it was submitted.
                span.start.store(0, Relaxed);
                return;
            }
            if ended > began {
                end = ended;
            }
        }
        span.end(end, place, outcome);
        if watch.on_event.is_some() {
            self.tell(node, "finished", place, end, Some(word_for(outcome)));
        }
    }

    /// Says that a node will not run.
    pub(super) fn tell_left_out(&self, node: u32) {
        if self
            .watch
            .as_ref()
            .is_some_and(|watch| watch.on_event.is_some())
        {
            self.tell(node, "left_out", here(), clock::ticks(), None);
        }
    }

    #[cold]
    fn tell(&self, node: u32, what: &str, place: u32, ticks: u64, status: Option<&str>) {
        let Some(on_event) = self.watch.as_ref().and_then(|watch| watch.on_event()) else {
            return;
        };
        // SAFETY: nodes are executed, skipped and completed attached.
        let py = unsafe { Python::assume_attached() };
        let node = self.plan().node_at(node);
        let told = on_event.call1(py, (what, node, worker_of(place), seconds(ticks), status));
        if let Err(error) = told {
            self.note(py, NO_NODE, error.into_value(py).into_any(), true);
            if let Some(run) = self.run.upgrade() {
                run.marks().stop();
            }
        }
    }
}
