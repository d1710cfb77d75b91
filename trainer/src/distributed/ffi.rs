//! The one boundary to `shim/`: every call into it, and nothing else.
#![expect(unsafe_code, reason = "the shim is C++")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

use tch::Tensor;

/// A `DetconStore` or `DetconGroup`.
type Raw = *mut c_void;
type RawTensor = *const c_void;

unsafe extern "C" {
    fn detcon_free(text: *mut c_char);
    fn detcon_store_open(
        host: *const c_char,
        port: u16,
        serves: bool,
        timeout: i64,
        out: *mut Raw,
    ) -> *mut c_char;
    fn detcon_store_close(store: Raw);
    fn detcon_store_set(store: Raw, key: *const c_char, value: *const c_char) -> *mut c_char;
    fn detcon_store_get(store: Raw, key: *const c_char, value: *mut *mut c_char) -> *mut c_char;
    fn detcon_store_claim(store: Raw, key: *const c_char, value: *const c_char) -> *mut c_char;
    fn detcon_group_open(
        store: Raw,
        cuda: bool,
        rank: c_int,
        size: c_int,
        timeout: i64,
        out: *mut Raw,
    ) -> *mut c_char;
    fn detcon_group_close(group: Raw);
    fn detcon_group_failure(group: Raw) -> *mut c_char;
    fn detcon_mean(group: Raw, tensor: RawTensor) -> *mut c_char;
    fn detcon_gather(group: Raw, tensor: RawTensor, rank: i64, out: *mut Raw) -> *mut c_char;
    fn detcon_batch_norm(
        group: Raw,
        input: RawTensor,
        scale: RawTensor,
        offset: RawTensor,
        epsilon: f64,
        out: *mut Raw,
    ) -> *mut c_char;
    fn detcon_lerp(
        tensors: *const RawTensor,
        ends: *const RawTensor,
        count: usize,
        weight: f64,
    ) -> *mut c_char;
    fn detcon_autocast(enabled: bool) -> *mut c_char;
}

/// A text of the shim, on one line.
fn taken(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the shim hands out strings that end with 0 and are ours to free.
    let copy = unsafe {
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        detcon_free(text);
        copy
    };
    Some(copy.lines().next().unwrap_or_default().trim().to_owned())
}

fn done(error: *mut c_char) -> Result<(), String> {
    taken(error).map_or(Ok(()), Err)
}

fn text(of: &str) -> CString {
    CString::new(of.replace('\0', "")).unwrap_or_default()
}

fn raw(tensor: &Tensor) -> RawTensor {
    tensor.as_ptr().cast()
}

fn tensor(raw: Raw) -> Tensor {
    // SAFETY: the shim made it with `new at::Tensor` and keeps no other pointer to it.
    unsafe { Tensor::from_ptr(raw.cast()) }
}

/// A connection to the store of the ranks.
#[derive(Debug)]
pub(super) struct RawStore(NonNull<c_void>);

// SAFETY: c10d's stores lock themselves.
unsafe impl Send for RawStore {}
// SAFETY: as above.
unsafe impl Sync for RawStore {}

impl RawStore {
    pub(super) fn open(host: &str, port: u16, serves: bool, timeout: i64) -> Result<Self, String> {
        let mut out = ptr::null_mut();
        // SAFETY: the text lives as long as the call, and `out` is a place for a pointer.
        done(unsafe {
            detcon_store_open(text(host).as_ptr(), port, serves, timeout, &raw mut out)
        })?;
        NonNull::new(out)
            .map(Self)
            .ok_or_else(|| "no store came".to_owned())
    }

    pub(super) fn set(&self, key: &str, value: &str) -> Result<(), String> {
        // SAFETY: the store is open, and the texts live as long as the call.
        done(unsafe { detcon_store_set(self.0.as_ptr(), text(key).as_ptr(), text(value).as_ptr()) })
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<String>, String> {
        let mut value = ptr::null_mut();
        // SAFETY: the store is open, the text lives as long as the call, and `value` is a place for a pointer.
        done(unsafe { detcon_store_get(self.0.as_ptr(), text(key).as_ptr(), &raw mut value) })?;
        Ok(taken(value))
    }

    pub(super) fn claim(&self, key: &str, value: &str) -> Result<(), String> {
        // SAFETY: the store is open, and the texts live as long as the call.
        done(unsafe {
            detcon_store_claim(self.0.as_ptr(), text(key).as_ptr(), text(value).as_ptr())
        })
    }
}

impl Drop for RawStore {
    fn drop(&mut self) {
        // SAFETY: it was open and is used no more.
        unsafe { detcon_store_close(self.0.as_ptr()) }
    }
}

/// A process group.
#[derive(Debug)]
pub(super) struct RawGroup(NonNull<c_void>);

// SAFETY: c10d's process groups take calls from any thread; their order is the caller's business, as it is on one.
unsafe impl Send for RawGroup {}
// SAFETY: as above.
unsafe impl Sync for RawGroup {}

impl RawGroup {
    pub(super) fn open(
        store: &RawStore,
        cuda: bool,
        [rank, size]: [usize; 2],
        timeout: i64,
    ) -> Result<Self, String> {
        let number = |of: usize| c_int::try_from(of).map_err(|error| error.to_string());
        let (rank, size) = (number(rank)?, number(size)?);
        let mut out = ptr::null_mut();
        // SAFETY: the store is open, and `out` is a place for a pointer.
        done(unsafe {
            detcon_group_open(store.0.as_ptr(), cuda, rank, size, timeout, &raw mut out)
        })?;
        NonNull::new(out)
            .map(Self)
            .ok_or_else(|| "no group came".to_owned())
    }

    /// What the first collective that failed said.
    pub(super) fn failure(&self) -> Option<String> {
        // SAFETY: the group is open.
        taken(unsafe { detcon_group_failure(self.0.as_ptr()) })
    }

    pub(super) fn mean(&self, tensor: &mut Tensor) -> Result<(), String> {
        // SAFETY: the group is open and the tensor alive.
        done(unsafe { detcon_mean(self.0.as_ptr(), raw(tensor)) })
    }

    pub(super) fn gather(&self, of: &Tensor, rank: i64) -> Result<Tensor, String> {
        let mut out = ptr::null_mut();
        // SAFETY: the group is open, the tensor alive, and `out` a place for a pointer.
        done(unsafe { detcon_gather(self.0.as_ptr(), raw(of), rank, &raw mut out) })?;
        Ok(tensor(out))
    }

    pub(super) fn batch_norm(
        &self,
        input: &Tensor,
        [scale, offset]: [&Tensor; 2],
        epsilon: f64,
    ) -> Result<[Tensor; 3], String> {
        let mut out = [ptr::null_mut(); 3];
        let (input, scale, offset) = (raw(input), raw(scale), raw(offset));
        // SAFETY: the group is open, the tensors alive, and `out` a place for three pointers.
        done(unsafe {
            detcon_batch_norm(
                self.0.as_ptr(),
                input,
                scale,
                offset,
                epsilon,
                out.as_mut_ptr(),
            )
        })?;
        Ok(out.map(tensor))
    }
}

impl Drop for RawGroup {
    fn drop(&mut self) {
        // SAFETY: it was open and is used no more.
        unsafe { detcon_group_close(self.0.as_ptr()) }
    }
}

/// Moves each tensor towards its end by a share `weight` of the way, in place and without a gradient.
///
/// # Panics
/// Where a tensor and its end differ in shape.
pub(crate) fn lerp(tensors: &[&Tensor], ends: &[&Tensor], weight: f64) {
    assert_eq!(tensors.len(), ends.len(), "each tensor has an end");
    let raws = |of: &[&Tensor]| of.iter().map(|&tensor| raw(tensor)).collect::<Vec<_>>();
    let (tensors, ends) = (raws(tensors), raws(ends));
    // SAFETY: both lists have that many living tensors.
    let moved =
        done(unsafe { detcon_lerp(tensors.as_ptr(), ends.as_ptr(), tensors.len(), weight) });
    moved.expect("tensors move towards tensors of their shape");
}

/// What `compute` gives, with bfloat16 where that is faster and precise enough, as PyTorch's autocast decides.
pub(crate) fn autocast<T>(compute: impl FnOnce() -> T) -> T {
    struct Enabled;
    impl Drop for Enabled {
        fn drop(&mut self) {
            // SAFETY: it sets this thread's settings alone.
            let _ = done(unsafe { detcon_autocast(false) });
        }
    }
    // SAFETY: it sets this thread's settings alone.
    done(unsafe { detcon_autocast(true) }).expect("libtorch knows bfloat16");
    let _enabled = Enabled;
    compute()
}
