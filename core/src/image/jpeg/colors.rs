//! What the components of a picture are. Files say so in three places, which may contradict each other; libjpeg-turbo's
//! order decides (`jdapimin.c`, `default_decompress_parms`; `jdmarker.c`, `examine_app0` and `examine_app14`): JFIF, then
//! Adobe's marker, then the identifiers of the components.

use super::markers::{ADOBE, APP0, Frame, Segment};

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    /// YCbCr of the inverse of CMY, and K.
    Ycck,
}

impl Colors {
    /// Of a picture, by the segments before its first scan.
    pub(super) fn of(segments: &[Segment], frame: &Frame) -> Self {
        let before = || segments.iter().take_while(|segment| !segment.is_scan());
        let jfif = before().any(|segment| {
            let payload = segment.payload_of(APP0);
            payload.is_some_and(|it| it.len() >= JFIF_LENGTH && it.starts_with(b"JFIF\0"))
        });
        let adobe = before().filter_map(|segment| {
            let payload = segment.payload_of(ADOBE)?;
            let adobe = payload.starts_with(b"Adobe");
            payload.get(TRANSFORM).copied().filter(|_| adobe)
        });
        match (frame.identifiers().as_slice(), jfif, adobe.last()) {
            ([_], ..) => Self::Grey,
            ([_, _, _], false, Some(0)) | ([b'R', b'G', b'B'], false, None) => Self::Rgb,
            ([_, _, _, _], _, None | Some(0)) => Self::Cmyk,
            ([_, _, _, _], _, Some(_)) => Self::Ycck,
            _ => Self::YCbCr,
        }
    }

    /// Identifiers by which the decoder takes three components for these colours. It looks at them first.
    pub(super) const fn identifiers(self) -> Option<[u8; 3]> {
        match self {
            Self::YCbCr => Some([1, 2, 3]),
            Self::Rgb => Some(*b"RGB"),
            Self::Grey | Self::Cmyk | Self::Ycck => None,
        }
    }

    /// Adobe's marker, by which the decoder takes four components for these colours.
    pub(super) fn adobe(self) -> Option<[u8; TRANSFORM + 1]> {
        let transform = match self {
            Self::Cmyk => 0,
            Self::Ycck => 2,
            Self::Grey | Self::YCbCr | Self::Rgb => return None,
        };
        let mut payload = *b"Adobe\0\x64\0\0\0\0\0";
        payload[TRANSFORM] = transform;
        Some(payload)
    }
}

/// Shortest JFIF header.
const JFIF_LENGTH: usize = 14;
/// Where Adobe's marker says which transform was applied; shorter ones are none of Adobe's.
const TRANSFORM: usize = 11;
