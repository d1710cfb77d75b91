//! The C library's allocator, told to give memory back.
//!
//! glibc's keeps an arena for each of many threads, and after the first large block is freed it takes such blocks from
//! arenas too (mallopt(3), `M_MMAP_THRESHOLD`): decoders and methods of segmentation, whose buffers are large, of every
//! size and freed in any order, then leave holes that hold two to three times what is used.

/// Arenas that threads share.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: i32 = 4;
/// Blocks that are mapped on their own, and unmapped when they are freed, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: i32 = 1 << 20;
/// Free memory that an arena keeps at its end, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 4 << 20;

/// Sets the allocator up, before there are threads. What the environment says of it (`MALLOC_…`, `GLIBC_TUNABLES`) is
/// left as it is said.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn set_up() {
    let mut variables = std::env::vars_os();
    if variables.any(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("MALLOC_") || name == "GLIBC_TUNABLES"
    }) {
        return;
    }
    let settings = [
        (libc::M_ARENA_MAX, ARENAS),
        (libc::M_MMAP_THRESHOLD, MAPPED),
        (libc::M_TRIM_THRESHOLD, KEPT),
    ];
    for (setting, value) in settings {
        // SAFETY: it takes two numbers, and no other thread is there yet.
        #[expect(unsafe_code, reason = "a function of the C library")]
        let set = unsafe { libc::mallopt(setting, value) };
        debug_assert_eq!(set, 1, "glibc knows these settings");
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn set_up() {}
