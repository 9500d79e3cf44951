//! Regions of memory from the system, aligned to their size.

use std::ptr::NonNull;

/// How large a region is: a huge page of x86 and of most others.
pub(super) const REGION: usize = 1 << 21;

/// A region of memory that nobody uses, in one huge page if that is wanted and can be had. None if
/// there is no memory.
#[cfg(unix)]
pub(super) fn map(huge: bool) -> Option<NonNull<u8>> {
    use std::ptr::null_mut;
    // SAFETY: asks for new memory; then gives back what lies before and behind the part that is aligned.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        let mapped = libc::mmap(null_mut(), 2 * REGION, protection, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            return None;
        }
        let before = mapped.align_offset(REGION);
        let region = mapped.byte_add(before);
        if before > 0 {
            libc::munmap(mapped, before);
        }
        if before < REGION {
            libc::munmap(region.byte_add(REGION), REGION - before);
        }
        #[cfg(target_os = "linux")]
        if huge {
            // Advice: where it is not taken, pages are small.
            libc::madvise(region, REGION, libc::MADV_HUGEPAGE);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = huge;
        NonNull::new(region.cast())
    }
}

/// Gives a region back.
///
/// # Safety
/// `map` gave it, and nobody uses it any more.
#[cfg(unix)]
pub(super) unsafe fn unmap(region: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { libc::munmap(region.cast(), REGION) };
}

#[cfg(not(unix))]
const LAYOUT: std::alloc::Layout = match std::alloc::Layout::from_size_align(REGION, REGION) {
    Ok(layout) => layout,
    Err(_) => panic!("a region's size is a power of two"),
};

/// A region of memory that nobody uses. None if there is no memory.
#[cfg(not(unix))]
pub(super) fn map(_huge: bool) -> Option<NonNull<u8>> {
    // SAFETY: the layout is not empty.
    NonNull::new(unsafe { std::alloc::alloc(LAYOUT) })
}

/// Gives a region back.
///
/// # Safety
/// `map` gave it, and nobody uses it any more.
#[cfg(not(unix))]
pub(super) unsafe fn unmap(region: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { std::alloc::dealloc(region, LAYOUT) };
}
