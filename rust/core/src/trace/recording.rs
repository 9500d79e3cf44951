//! A recording of what threads do for a pool, and the switch that turns it on.
//!
//! Each thread writes to a ring of its own, which it gets with its first event. Off, an event costs
//! the load of one word; on, the thread finds its ring where it left it. Who stops a recording reads
//! the rings; what a thread is just writing then may be missed, and is never torn.

use super::{EventKind, TraceRing};
use crate::clock;
use crate::stats::Serial;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::{Arc, Mutex};
use std::cell::{Cell, RefCell};

/// How many rings are kept of threads that write no more.
const LEFT_BEHIND: usize = 32;

/// Names a recording; 0 is none.
static RECORDINGS: Serial = Serial::new();
static THREADS: Serial = Serial::new();

/// What one thread has written.
pub struct Track {
    thread: u64,
    /// What the thread was to the pool when it wrote first: one more than a worker's index, or 0.
    pub place: u32,
    pub ring: Arc<TraceRing>,
}

/// One recording.
pub struct Recording {
    id: u64,
    /// Events for each thread.
    capacity: usize,
    tracks: Mutex<Vec<Track>>,
    /// Events of threads whose rings were given up.
    lost: AtomicU64,
}

impl Recording {
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Calls `f` with each thread's track, in the order of their first events.
    pub fn each_track(&self, f: impl FnMut(&Track)) {
        self.tracks.lock().iter().for_each(f);
    }

    /// How many events went with the rings of threads that write no more.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// This thread's ring, made if it has none.
    fn ring(&self, thread: u64, place: u32) -> Arc<TraceRing> {
        let mut tracks = self.tracks.lock();
        let known = tracks
            .iter()
            .find(|track| track.thread == thread && track.place == place);
        if let Some(track) = known {
            return Arc::clone(&track.ring);
        }
        self.give_up_old(&mut tracks);
        let ring = Arc::new(TraceRing::new(self.capacity));
        tracks.push(Track {
            thread,
            place,
            ring: Arc::clone(&ring),
        });
        ring
    }

    /// Threads come and go without end; of those that write no more the last rings are kept. A ring is
    /// held by the thread that writes to it, and here.
    fn give_up_old(&self, tracks: &mut Vec<Track>) {
        let is_left = |track: &Track| Arc::strong_count(&track.ring) == 1;
        let mut over =
            (tracks.iter().filter(|track| is_left(track)).count()).saturating_sub(LEFT_BEHIND - 1);
        tracks.retain(|track| {
            let goes = over > 0 && is_left(track);
            if goes {
                over -= 1;
                self.lost.fetch_add(track.ring.written(), Relaxed);
            }
            !goes
        });
    }
}

/// Where the threads of a pool look whether they are recorded.
#[derive(Default)]
pub struct Switch {
    /// The recording that is on; 0 for none.
    on: AtomicU64,
    recording: Mutex<Option<Arc<Recording>>>,
}

impl Switch {
    /// Whether a recording is on.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed) != 0
    }

    /// Begins a recording with room for `capacity` events of each thread; None if one is on.
    pub fn start(&self, capacity: usize) -> Option<Arc<Recording>> {
        let mut recording = self.recording.lock();
        if recording.is_some() {
            return None;
        }
        let fresh = Arc::new(Recording {
            id: RECORDINGS.next(),
            capacity,
            tracks: Mutex::new(Vec::new()),
            lost: AtomicU64::new(0),
        });
        self.on.store(fresh.id, Relaxed);
        *recording = Some(Arc::clone(&fresh));
        Some(fresh)
    }

    /// Ends the recording.
    pub fn stop(&self) -> Option<Arc<Recording>> {
        let mut recording = self.recording.lock();
        self.on.store(0, Relaxed);
        recording.take()
    }

    /// The recording that is on.
    pub fn recording(&self) -> Option<Arc<Recording>> {
        self.recording.lock().clone()
    }

    /// Calls `f` with what this thread records to, if a recording is on. `place` says what the
    /// thread is to the pool.
    #[inline]
    pub fn with(&self, place: u32, f: impl FnOnce(&Recorder, &TraceRing)) {
        let on = self.on.load(Relaxed);
        if on == 0 {
            return;
        }
        RECORDER.with(|recorder| {
            if recorder.recording.get() != on {
                self.join(recorder, place);
            }
            if let Some(ring) = &*recorder.ring.borrow() {
                f(recorder, ring);
            }
        });
    }

    #[cold]
    fn join(&self, recorder: &Recorder, place: u32) {
        let recording = self.recording();
        if recorder.thread.get() == 0 {
            recorder.thread.set(THREADS.next());
        }
        let ring = recording
            .as_ref()
            .map(|recording| recording.ring(recorder.thread.get(), place));
        recorder
            .recording
            .set(recording.map_or(0, |recording| recording.id));
        recorder.label.set(0);
        recorder.last.set(0);
        *recorder.ring.borrow_mut() = ring;
    }
}

/// What a thread keeps between two events.
pub struct Recorder {
    thread: Cell<u64>,
    recording: Cell<u64>,
    ring: RefCell<Option<Arc<TraceRing>>>,
    label: Cell<u64>,
    /// How many events had been written when that was recorded.
    labelled: Cell<u64>,
    last: Cell<u64>,
}

thread_local! {
    static RECORDER: Recorder = const {
        Recorder {
            thread: Cell::new(0),
            recording: Cell::new(0),
            ring: RefCell::new(None),
            label: Cell::new(0),
            labelled: Cell::new(0),
            last: Cell::new(0),
        }
    };
}

impl Recorder {
    /// The recording that this thread writes to.
    pub fn recording(&self) -> u64 {
        self.recording.get()
    }

    /// Makes `label` that of the next starts; what is to be recorded of it. A label that has not changed
    /// is said again before half of the ring has been written, so that it is always there to be read.
    #[inline]
    pub fn relabel(&self, label: u64, ring: &TraceRing) -> Option<EventKind> {
        let is_known = self.label.replace(label) == label;
        let written = ring.written();
        if is_known && written - self.labelled.get() < ring.slots.len() as u64 / 2 {
            return None;
        }
        self.labelled.set(written);
        Some(if is_known {
            EventKind::Again
        } else {
            EventKind::Label
        })
    }

    /// When the task that begins now began: when the one before it ended, if the thread has done
    /// nothing else since.
    #[inline]
    pub fn begin(&self) -> u64 {
        match self.last.replace(0) {
            0 => clock::ticks(),
            last => last,
        }
    }

    /// The task that ran has ended now.
    #[inline]
    pub fn end(&self) -> u64 {
        let now = clock::ticks();
        self.last.set(now);
        now
    }
}

/// This thread did something else than tasks: the next one begins when it begins.
#[inline]
pub fn interrupted() {
    RECORDER.with(|recorder| recorder.last.set(0));
}

#[cfg(all(test, not(loom)))]
mod tests {

    use super::*;

    fn mark(switch: &Switch, data: u64) {
        switch.with(1, |_, ring| ring.record_at(data, EventKind::Submit, data));
    }

    #[test]
    fn nothing_is_recorded_while_the_switch_is_off() {
        let switch = Switch::default();
        mark(&switch, 1);
        let recording = switch.start(8);
        assert!(switch.start(8).is_none());
        mark(&switch, 2);
        drop(switch.stop());
        mark(&switch, 3);
        let mut seen = Vec::new();
        if let Some(recording) = recording {
            recording.each_track(|track| seen.extend(track.ring.read(0).events));
        }
        assert_eq!(seen.iter().map(|event| event.data).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn each_thread_has_a_ring_of_its_own_in_each_recording() {
        let (one, other) = (Switch::default(), Switch::default());
        let recordings = [one.start(8), other.start(8)];
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..3).for_each(|n| {
                        [&one, &other]
                            .map(|s| mark(s, n))
                            .into_iter()
                            .for_each(drop)
                    })
                });
            }
        });
        for recording in recordings.into_iter().flatten() {
            let mut counts = Vec::new();
            recording.each_track(|track| counts.push(track.ring.read(0).events.len()));
            assert_eq!(counts, [3, 3]);
        }
    }

    #[test]
    fn threads_that_are_gone_leave_a_bounded_number_of_rings() {
        let switch = Switch::default();
        let recording = switch.start(8);
        mark(&switch, 1000);
        for number in 0..100 {
            std::thread::scope(|scope| {
                // Joined, and not only out of its function: then its ring is handed over.
                assert!(scope.spawn(|| mark(&switch, number)).join().is_ok());
            });
        }
        let mut seen = Vec::new();
        if let Some(recording) = &recording {
            recording.each_track(|track| seen.extend(track.ring.read(0).events));
        }
        let data: Vec<u64> = seen.iter().map(|event| event.data).collect();
        let last: Vec<u64> = (100 - LEFT_BEHIND as u64..100).collect();
        assert_eq!(data[0], 1000, "this thread is not gone");
        assert_eq!(data[1..], last);
        let lost = recording.map(|recording| recording.lost());
        assert_eq!(lost, Some(100 - LEFT_BEHIND as u64));
    }

    #[test]
    fn a_ring_always_holds_the_label_of_what_it_holds() {
        let switch = Switch::default();
        let recording = switch.start(8);
        for number in 0..100 {
            switch.with(1, |recorder, ring| {
                if let Some(kind) = recorder.relabel(7, ring) {
                    assert_eq!(kind == EventKind::Label, number == 0);
                    ring.record_at(0, kind, 7);
                }
                ring.record_at(number, EventKind::Start, number);
            });
            recording.iter().for_each(|recording| {
                recording.each_track(|track| {
                    let events = track.ring.read(0).events;
                    assert!(
                        events
                            .iter()
                            .any(|event| event.data == 7 && event.ticks == 0)
                    );
                })
            });
        }
    }

    #[test]
    fn a_task_begins_where_the_last_one_ended_unless_something_came_between() {
        let switch = Switch::default();
        let _recording = switch.start(8);
        switch.with(1, |recorder, _| {
            let end = recorder.end();
            assert_eq!(recorder.begin(), end);
            let end = recorder.end();
            interrupted();
            assert!(recorder.begin() >= end);
            assert_eq!(recorder.last.get(), 0);
        });
    }
}
