//! Puts pickles together from opcodes.

use detcon_converter::pickle::{self, Limits, PickleError};

/// `PROTO 4`, the parts, `STOP`.
pub(crate) fn pickle(parts: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x04", parts.concat().as_slice(), b"."].concat()
}

/// `SHORT_BINUNICODE`.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[0x8c, length], text.as_bytes()].concat()
}

/// `SHORT_BINBYTES`.
pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
    [&[b'C', u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// `GLOBAL`.
pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// A tuple of integers.
pub(crate) fn shape(axes: &[i64]) -> Vec<u8> {
    let mut tuple = b"(".to_vec();
    for axis in axes {
        tuple.extend([0x8a, 8]);
        tuple.extend(axis.to_le_bytes());
    }
    tuple.push(b't');
    tuple
}

/// `numpy.dtype(code)` in little-endian order.
pub(crate) fn dtype(code: &str) -> Vec<u8> {
    [
        global("numpy", "dtype"),
        text(code),
        b"\x89\x88\x87R(K\x03".to_vec(),
        text("<"),
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb".to_vec(),
    ]
    .concat()
}

/// `numpy.ndarray`, still empty.
pub(crate) fn empty_array() -> Vec<u8> {
    [
        global("numpy.core.multiarray", "_reconstruct"),
        global("numpy", "ndarray"),
        b"K\x00\x85C\x01b\x87R".to_vec(),
    ]
    .concat()
}

/// An array of little-endian floats with this state.
pub(crate) fn array(shape: &[u8], dtype: &[u8], data: &[u8]) -> Vec<u8> {
    [
        &empty_array(),
        &b"(K\x01"[..],
        shape,
        dtype,
        b"\x89",
        data,
        b"tb",
    ]
    .concat()
}

pub(crate) fn error(file: &[u8]) -> PickleError {
    error_within(file, &Limits::default())
}

pub(crate) fn error_within(file: &[u8], limits: &Limits) -> PickleError {
    match pickle::parse(file, limits) {
        Err(error) => error,
        Ok(value) => panic!("the pickle was read as {value:?}"),
    }
}
