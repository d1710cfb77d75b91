//! Formats that people send and that are not read: they are refused by their names.

/// The name of the format that a file starts like, if it is one of these.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 6] = [
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS", "Photoshop"),
        (b"%PDF-", "PDF"),
        (b"<svg", "SVG"),
    ];
    let signature = SIGNATURES
        .iter()
        .find(|(signature, _)| bytes.starts_with(signature));
    signature.map(|(_, name)| *name).or_else(|| of_boxes(bytes))
}

/// HEIC and AVIF are told by the brands of their first box (ISO 14496-12, 4.3; ISO 23008-12, annex B; the AV1 image file
/// format, section 6). A file of the structure's own brand says among the others which it is.
fn of_boxes(bytes: &[u8]) -> Option<&'static str> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    let brands = bytes.get(4..)?.strip_prefix(b"ftyp")?;
    let rest = usize::try_from(length).ok()?.saturating_sub(8);
    let brands = &brands[..brands.len().min(rest)];
    let brands = brands.as_chunks::<4>().0;
    let has = |known: &[&[u8; 4]]| brands.iter().any(|brand| known.contains(&brand));
    if has(&[b"avif", b"avis"]) {
        Some("AVIF")
    } else if has(&[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1",
    ]) {
        Some("HEIC")
    } else {
        None
    }
}
