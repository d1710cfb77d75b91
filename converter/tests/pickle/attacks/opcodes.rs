//! Damaged and misused opcodes: lengths past the end, frames that do not fit, an empty stack, marks.

use detcon_converter::npy;
use detcon_converter::pickle::{self, Limit, Limits, PickleError};

use super::assembler::{error, error_within, pickle, text};

#[test]
fn a_pickle_cut_at_any_byte_is_truncated() {
    let folder = crate::golden::folder().join("checkpoints");
    let file = std::fs::read(folder.join("tiny.released.npy")).unwrap();
    let start = npy::pickle_start(&file).unwrap();
    let whole = &file[start..start + 3000];
    for length in 0..whole.len() {
        let cut = error(&whole[..length]);
        assert!(
            matches!(cut, PickleError::Truncated { .. }),
            "{length}: {cut}"
        );
    }
}

#[test]
fn lengths_past_the_end_are_truncated_without_an_allocation() {
    let long = u64::MAX.to_le_bytes();
    for code in [0x8d_u8, 0x8e, 0x96] {
        let file = pickle(&[&[code], &long]);
        let truncated = PickleError::Truncated {
            offset: 2,
            needed: u64::MAX,
            left: 1,
        };
        assert_eq!(error(&file), truncated);
    }
    for code in [b'X', b'B', b'T', 0x8b] {
        let file = pickle(&[&[code], &[0xff; 4]]);
        let truncated = PickleError::Truncated {
            offset: 2,
            needed: u64::from(u32::MAX),
            left: 1,
        };
        assert_eq!(error(&file), truncated);
    }
}

#[test]
fn unknown_opcodes_and_protocols_are_refused() {
    assert_eq!(
        error(b"\x80\x06N."),
        PickleError::UnsupportedProtocol {
            offset: 0,
            protocol: 6
        }
    );
    assert_eq!(
        error(b"\x80\x04\xffN."),
        PickleError::UnknownOpcode {
            offset: 2,
            code: 0xff
        }
    );
    assert_eq!(
        error(b"\x80\x04\x00"),
        PickleError::UnknownOpcode { offset: 2, code: 0 }
    );
    assert_eq!(
        error(b""),
        PickleError::Truncated {
            offset: 0,
            needed: 1,
            left: 0
        }
    );
}

#[test]
fn frames_must_fit_their_opcodes() {
    let frame = |length: u64, rest: &[u8]| pickle(&[&[0x95], &length.to_le_bytes(), rest]);
    assert_eq!(
        error(&frame(u64::MAX, b"N")),
        PickleError::Truncated {
            offset: 2,
            needed: u64::MAX,
            left: 2
        }
    );
    assert_eq!(
        error(&frame(3, b"N")),
        PickleError::Truncated {
            offset: 2,
            needed: 3,
            left: 2
        }
    );
    assert_eq!(
        error(&frame(1, b"K\x01")),
        PickleError::Frame { offset: 11 }
    );
    let nested = frame(12, &[&[0x95][..], &1_u64.to_le_bytes(), b"N0N"].concat());
    assert_eq!(error(&nested), PickleError::Frame { offset: 11 });
    assert!(pickle::parse(&frame(2, b"N"), &Limits::default()).is_ok());
}

#[test]
fn what_is_not_on_the_stack_cannot_be_taken() {
    for (part, offset) in [
        (&b""[..], 2),
        (b"0", 2),
        (b"2", 2),
        (b"1", 2),
        (b"\x85", 2),
        (b"a", 2),
        (b"N\x86", 3),
        (b"N(a", 4),
        (b"N(\x85", 4),
        (b"}Ns", 4),
        (b"}(Nu", 5),
        (b"(Nd", 4),
        (b"R", 2),
        (b"NR", 3),
        (b"b", 2),
        (b"\x81", 2),
        (b"\x92", 2),
        (b"\x93", 2),
        (b"(o", 3),
        (b"e", 2),
        (b"t", 2),
        (b"q\x00", 2),
        (b"\x94", 2),
    ] {
        let found = error(&pickle(&[part]));
        assert_eq!(found, PickleError::StackUnderflow { offset }, "{part:?}");
    }
}

#[test]
fn what_is_left_over_is_an_error() {
    assert_eq!(
        error(b"NN."),
        PickleError::LeftOver {
            offset: 2,
            count: 1
        }
    );
    assert_eq!(
        error(b"(N."),
        PickleError::LeftOver {
            offset: 2,
            count: 1
        }
    );
    assert_eq!(
        error(b"N.."),
        PickleError::Trailing {
            offset: 2,
            count: 1
        }
    );
}

#[test]
fn a_million_marks_end_in_an_error() {
    let file = pickle(&[&vec![b'('; 1_000_000]]);
    assert_eq!(
        error(&file),
        PickleError::StackUnderflow { offset: 1_000_002 }
    );
}

#[test]
fn memo_entries_must_have_been_stored() {
    for part in [&b"h\x07"[..], b"j\x07\x00\x00\x00", b"g7\n"] {
        assert_eq!(
            error(&pickle(&[part])),
            PickleError::UnknownMemo {
                offset: 2,
                entry: 7
            }
        );
    }
}

/// A table as long as the largest index would take 16 GiB.
#[test]
fn a_large_memo_index_costs_one_entry() {
    let file = pickle(&[b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff"]);
    assert!(pickle::parse(&file, &Limits::default()).is_ok());
}

#[test]
fn the_memo_and_the_opcodes_are_capped() {
    let limits = Limits {
        memo_entries: 3,
        ..Limits::default()
    };
    let memo = PickleError::Limit {
        offset: 6,
        limit: Limit::MemoEntries,
        allowed: 3,
    };
    assert_eq!(
        error_within(&pickle(&[b"N\x94\x94\x94\x94"]), &limits),
        memo
    );
    let limits = Limits {
        opcodes: 4,
        ..Limits::default()
    };
    let opcodes = PickleError::Limit {
        offset: 6,
        limit: Limit::Opcodes,
        allowed: 4,
    };
    assert_eq!(error_within(&pickle(&[b"N0N0N"]), &limits), opcodes);
}

#[test]
fn text_that_cannot_be_read_is_refused() {
    for part in [
        &b"\x8c\x02\xff\xfe"[..],
        b"\x8c\x03\xed\xa0\x80",
        b"Iten\n",
        b"I\n",
        b"Fone\n",
        b"Sunquoted\n",
        b"S'\\q'\n",
        b"V\\ud800\n",
        b"g-1\n",
        b"c\xff\nx\n",
    ] {
        assert_eq!(
            error(&pickle(&[part])),
            PickleError::InvalidText { offset: 2 },
            "{part:?}"
        );
    }
    let large = PickleError::IntegerTooLarge { offset: 2 };
    assert_eq!(error(&pickle(&[b"L99999999999999999999L\n"])), large);
    let long = |bytes: u8| [&[0x8a, bytes][..], &vec![1; usize::from(bytes)]].concat();
    assert_eq!(error(&pickle(&[&long(33)])), large);
    // As the state of a random generator has it: left out, as objects are.
    let file = pickle(&[&long(16)]);
    let state = pickle::parse(&file, &Limits::default()).unwrap();
    assert!(matches!(state, pickle::Value::Opaque(_)), "{state:?}");
}

#[test]
fn strings_and_names_are_capped() {
    let limits = Limits {
        string_bytes: 4,
        name_bytes: 4,
        ..Limits::default()
    };
    let string = PickleError::Limit {
        offset: 2,
        limit: Limit::StringBytes,
        allowed: 4,
    };
    assert_eq!(error_within(&pickle(&[&text("longer")]), &limits), string);
    let name = PickleError::Limit {
        offset: 2,
        limit: Limit::NameBytes,
        allowed: 4,
    };
    let limits = Limits {
        string_bytes: 100,
        ..limits
    };
    assert_eq!(error_within(&pickle(&[b"clonger\nx\n"]), &limits), name);
    let stacked = pickle(&[&text("longer"), &text("x"), b"\x93"]);
    let name = PickleError::Limit {
        offset: 13,
        limit: Limit::NameBytes,
        allowed: 4,
    };
    assert_eq!(error_within(&stacked, &limits), name);
}
