//! The clock of traces, latencies and deadlines.
//!
//! A tick is one count of the processor's time-stamp counter where that counter runs at one rate
//! on all cores, whatever they do ("invariant"), and the system trusts it too; a read costs a third
//! of a call to the system's clock. Anywhere else a tick is a nanosecond of the system's clock.
//! Ticks are converted when somebody looks, not when they are taken.
//!
//! The rate is measured against the system's clock, over at least two milliseconds (tens of parts
//! per million) and again over longer spans by [`refine`] as the process grows older.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The least span that a rate is measured over.
const FIRST_SPAN: u64 = 2_000_000;

/// A moment on both clocks.
#[derive(Clone, Copy)]
struct Anchor {
    ticks: u64,
    nanos: u64,
    counter: bool,
}

static ANCHOR: OnceLock<Anchor> = OnceLock::new();
/// Nanoseconds per tick and its inverse, times 2^32; 0 while nobody has measured them.
static NANOS_PER_TICK: AtomicU64 = AtomicU64::new(0);
static TICKS_PER_NANO: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds that the rate was measured over.
static SPAN: AtomicU64 = AtomicU64::new(0);

/// The current time in ticks since an arbitrary moment; never goes backwards on one thread.
#[inline]
pub fn ticks() -> u64 {
    let anchor = match ANCHOR.get() {
        Some(anchor) => anchor,
        None => ANCHOR.get_or_init(first_look),
    };
    if anchor.counter {
        counter()
    } else {
        system_nanos()
    }
}

/// Whether ticks are counts of the processor's time-stamp counter.
pub fn is_counter() -> bool {
    ANCHOR.get_or_init(first_look).counter
}

/// Nanoseconds in a span of ticks.
#[inline]
pub fn nanos(ticks: u64) -> u64 {
    scale(ticks, rate(&NANOS_PER_TICK))
}

/// Ticks in a span of nanoseconds; a span of more than `u64::MAX` ticks counts as that.
#[inline]
pub fn from_nanos(nanos: u64) -> u64 {
    scale(nanos, rate(&TICKS_PER_NANO))
}

/// Ticks in a duration; a span of more than `u64::MAX` ticks counts as that.
pub fn from_duration(span: Duration) -> u64 {
    from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

/// A moment in ticks as nanoseconds of the system's monotonic clock, the one that Python's
/// `time.monotonic_ns()` reads.
pub fn monotonic_nanos(at: u64) -> u64 {
    let anchor = ANCHOR.get_or_init(first_look);
    if at >= anchor.ticks {
        anchor.nanos.saturating_add(nanos(at - anchor.ticks))
    } else {
        anchor.nanos.saturating_sub(nanos(anchor.ticks - at))
    }
}

/// Measures the rate again if the process has run ten times as long as it was last measured over.
/// For those who convert rarely: a snapshot of statistics, the end of a trace.
pub fn refine() {
    let anchor = ANCHOR.get_or_init(first_look);
    let span = SPAN.load(Ordering::Relaxed);
    if anchor.counter && system_nanos().saturating_sub(anchor.nanos) >= span.saturating_mul(10) {
        measure(anchor);
    }
}

#[inline]
fn scale(value: u64, factor: u64) -> u64 {
    let product = (u128::from(value) * u128::from(factor)) >> 32;
    u64::try_from(product).unwrap_or(u64::MAX)
}

#[inline]
fn rate(which: &AtomicU64) -> u64 {
    match which.load(Ordering::Relaxed) {
        0 => first_rate(which),
        rate => rate,
    }
}

#[cold]
fn first_rate(which: &AtomicU64) -> u64 {
    measure(ANCHOR.get_or_init(first_look));
    which.load(Ordering::Relaxed)
}

/// Publishes the rate between the anchor and now, waiting until they are far enough apart. Several
/// threads may do it at once: each stores a rate that is right within its own error.
fn measure(anchor: &Anchor) {
    const ONE: u128 = 1 << 32;
    if !anchor.counter {
        NANOS_PER_TICK.store(ONE as u64, Ordering::Relaxed);
        TICKS_PER_NANO.store(ONE as u64, Ordering::Relaxed);
        return;
    }
    let (ticks, nanos) = loop {
        let (ticks, nanos) = both();
        let span = nanos.saturating_sub(anchor.nanos);
        if span >= FIRST_SPAN {
            break (ticks.saturating_sub(anchor.ticks).max(1), span);
        }
        std::hint::spin_loop();
    };
    let (ticks_wide, nanos_wide) = (u128::from(ticks), u128::from(nanos));
    // At least 1: a counter below 1 Hz or above 4 EHz does not exist.
    NANOS_PER_TICK.store((nanos_wide * ONE / ticks_wide) as u64, Ordering::Relaxed);
    TICKS_PER_NANO.store((ticks_wide * ONE / nanos_wide) as u64, Ordering::Relaxed);
    SPAN.store(nanos, Ordering::Relaxed);
}

#[cold]
fn first_look() -> Anchor {
    if counter_is_steady() {
        let (ticks, nanos) = both();
        Anchor {
            ticks,
            nanos,
            counter: true,
        }
    } else {
        let nanos = system_nanos();
        Anchor {
            ticks: nanos,
            nanos,
            counter: false,
        }
    }
}

/// Both clocks at one moment: of a few attempts the one with the least time between two reads of
/// the counter, so that an interruption in between does not count.
fn both() -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..5 {
        let before = counter();
        let nanos = system_nanos();
        let width = counter().saturating_sub(before);
        if width < best.0 {
            best = (width, before + width / 2, nanos);
        }
    }
    (best.1, best.2)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and it touches no memory. Where a system
    // forbids it to user code, `counter_is_steady` says no before it is ever executed.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    system_nanos()
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn counter_is_steady() -> bool {
    use std::arch::x86_64::__cpuid;
    const POWER_MANAGEMENT: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    if __cpuid(0x8000_0000).eax < POWER_MANAGEMENT || __cpuid(POWER_MANAGEMENT).edx & INVARIANT == 0
    {
        return false;
    }
    if !cfg!(target_os = "linux") {
        return true;
    }
    // The kernel falls back to these when it finds the counters of the cores apart.
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = std::fs::read_to_string(source).unwrap_or_default();
    !matches!(
        source.trim(),
        "hpet" | "acpi_pm" | "jiffies" | "refined-jiffies"
    )
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn counter_is_steady() -> bool {
    false
}

#[cfg(unix)]
fn system_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live, writable timespec; the monotonic clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    // Both are non-negative for this clock.
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(not(unix))]
fn system_nanos() -> u64 {
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_in_ticks_is_as_long_as_the_system_clock_says() {
        let (from, from_nanos_) = (ticks(), system_nanos());
        while system_nanos() - from_nanos_ < 5_000_000 {}
        let (to, to_nanos) = (ticks(), system_nanos());
        // Both ends of the tick span lie within those of the widest span the system saw.
        let (span, system) = (nanos(to - from) as f64, (to_nanos - from_nanos_) as f64);
        assert!(span <= system * 1.001 + 1000.0, "{span} ns of {system} ns");
    }

    #[test]
    fn converting_there_and_back_keeps_the_span() {
        for span in [0, 1, 1000, 1_000_000_000, 3_600_000_000_000] {
            let back = nanos(from_nanos(span));
            assert!(back.abs_diff(span) <= 2 + span / 1_000_000, "{span} {back}");
        }
        assert_eq!(from_duration(Duration::MAX).max(1 << 60) >> 60 & 1, 1);
    }

    #[test]
    fn moments_are_those_of_the_monotonic_clock() {
        let before = system_nanos();
        let moment = monotonic_nanos(ticks());
        let after = system_nanos();
        let slack = 100_000 + (after - before);
        assert!(moment + slack >= before && moment <= after + slack);
    }
}
