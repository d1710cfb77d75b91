//! Small files that stand for a lot: nesting, sharing, copies, shapes.

use detcon_converter::pickle::{self, Limit, Limits, PickleError};

use super::assembler::{array, bytes, dtype, error, error_within, global, pickle, shape, text};

fn limit(offset: usize, limit: Limit, allowed: u64) -> PickleError {
    PickleError::Limit {
        offset,
        limit,
        allowed,
    }
}

/// Recursion over a million levels would overflow the stack, dropping them too.
#[test]
fn nesting_a_million_deep_is_refused() {
    let file = pickle(&[&vec![b']'; 1_000_000], &vec![b'a'; 999_999]]);
    let depth = Limits::default().depth;
    let innermost = 2 + 1_000_000 - 1;
    assert_eq!(
        error(&file),
        limit(innermost - depth - 1, Limit::Depth, depth as u64)
    );
}

#[test]
fn nesting_up_to_the_limit_is_read() {
    let depth = Limits::default().depth;
    let nested = |levels: usize| pickle(&[&vec![b']'; levels + 1], &vec![b'a'; levels]]);
    assert!(pickle::parse(&nested(depth), &Limits::default()).is_ok());
    assert!(pickle::parse(&nested(depth + 1), &Limits::default()).is_err());
}

/// Each list holds the one before it ten times: thirty of them stand for 10^30 values.
#[test]
fn exponential_sharing_is_refused() {
    let level = |entry: u8| {
        [
            b"](",
            &[b'h', entry].repeat(10)[..],
            b"e",
            &[b'q', entry + 1],
        ]
        .concat()
    };
    let levels: Vec<u8> = (0..30).flat_map(level).collect();
    let file = pickle(&[b"(]q\x00", &levels, b"t"]);
    let found = error(&file);
    assert!(
        matches!(
            found,
            PickleError::Limit {
                limit: Limit::Values,
                ..
            }
        ),
        "{found}"
    );
}

/// One array used a hundred times counts a hundred times.
#[test]
fn shared_arrays_count_as_often_as_they_are_used() {
    let one = array(&shape(&[2]), &dtype("f4"), &bytes(&[0; 8]));
    let file = pickle(&[b"](", &one, b"q\x00", &b"h\x00".repeat(99), b"e"]);
    let limits = Limits {
        total_array_bytes: 800,
        ..Limits::default()
    };
    assert!(pickle::parse(&file, &limits).is_ok());
    let limits = Limits {
        total_array_bytes: 799,
        ..limits
    };
    assert_eq!(
        error_within(&file, &limits),
        limit(2, Limit::TotalArrayBytes, 799)
    );
}

#[test]
fn a_value_that_holds_itself_is_refused() {
    assert_eq!(error(b"]q\x00h\x00a."), PickleError::Cyclic { offset: 0 });
    let through_two = error(b"]q\x00}q\x01K\x01h\x00sa.");
    assert!(
        matches!(through_two, PickleError::Cyclic { .. }),
        "{through_two}"
    );
}

/// Copying one list of a thousand values with every five bytes would grow without end.
#[test]
fn one_list_cannot_be_copied_over_and_over() {
    let list = [
        &global("builtins", "list"),
        &b"q\x00]("[..],
        &b"N".repeat(1000),
        b"e\x85q\x01",
    ]
    .concat();
    let file = pickle(&[b"(", &list, &b"h\x00h\x01R".repeat(2000), b"t"]);
    let found = error(&file);
    assert!(
        matches!(
            found,
            PickleError::Limit {
                limit: Limit::Values,
                ..
            }
        ),
        "{found}"
    );
}

#[test]
fn one_string_cannot_be_decoded_over_and_over() {
    let arguments = [
        &global("_codecs", "encode"),
        &b"q\x00"[..],
        &text(&"a".repeat(200)),
        &text("latin1"),
        b"\x86q\x01",
    ];
    let file = pickle(&[b"(", &arguments.concat(), &b"h\x00h\x01R".repeat(100), b"t"]);
    let found = error(&file);
    assert!(
        matches!(
            found,
            PickleError::Limit {
                limit: Limit::DecodedBytes,
                ..
            }
        ),
        "{found}"
    );
}

/// In memory the text of protocol 0 is up to twice as long as in the file: what counts are the bytes it stands for.
#[test]
fn a_string_of_high_bytes_is_decoded() {
    let line = [&b"V"[..], &[0xff; 1000], b"\n"].concat();
    let file = pickle(&[
        &global("_codecs", "encode"),
        &line,
        &text("latin1"),
        b"\x86R",
    ]);
    let value = pickle::parse(&file, &Limits::default()).unwrap();
    assert!(matches!(value, pickle::Value::Bytes(bytes) if *bytes == [0xff; 1000]));
}

#[test]
fn shapes_whose_product_overflows_are_refused() {
    let allowed = Limits::default().array_bytes as u64;
    for axes in [
        &[i64::MAX, i64::MAX][..],
        &[1 << 32, 1 << 32],
        &[i64::MAX],
        &[1 << 40],
    ] {
        let file = pickle(&[&array(&shape(axes), &dtype("f4"), &bytes(&[0; 4]))]);
        let build = file.len() - 2;
        assert_eq!(
            error(&file),
            limit(build, Limit::ArrayBytes, allowed),
            "{axes:?}"
        );
    }
}

#[test]
fn shapes_with_too_many_axes_are_refused() {
    let file = pickle(&[&array(&shape(&[1; 65]), &dtype("f4"), &bytes(&[0; 4]))]);
    let allowed = Limits::default().array_rank;
    assert_eq!(
        error(&file),
        limit(file.len() - 2, Limit::ArrayRank, allowed as u64)
    );
}

#[test]
fn an_arrays_bytes_must_be_those_of_its_shape() {
    for (axes, needed, found) in [
        (&[2_i64][..], 8, 4),
        (&[2], 8, 12),
        (&[0], 0, 4),
        (&[], 4, 0),
    ] {
        let file = pickle(&[&array(&shape(axes), &dtype("f4"), &bytes(&vec![0; found]))]);
        let shape = axes
            .iter()
            .map(|&axis| usize::try_from(axis).unwrap())
            .collect();
        let expected = PickleError::ArrayLength {
            offset: file.len() - 2,
            shape,
            needed,
            found,
        };
        assert_eq!(error(&file), expected);
    }
}
