//! Checks that a program can run in an otherwise empty image.

use super::ImageError;

/// Program header type for the path of the dynamic loader.
const PT_INTERP: u32 = 3;

/// The architecture, in the form used by images. Fails if the program could not run in an empty image.
pub(super) fn architecture(program: &[u8]) -> Result<&'static str, ImageError> {
    // Magic, 64 bits, little-endian.
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err(ImageError::NotElf);
    }
    let architecture = match u16_at(program, 18)? {
        62 => "amd64",
        183 => "arm64",
        other => return Err(ImageError::Machine(other)),
    };
    let first = usize::try_from(u64_at(program, 32)?).map_err(|_| ImageError::NotElf)?;
    let (size, count) = (usize::from(u16_at(program, 54)?), usize::from(u16_at(program, 56)?));
    for number in 0..count {
        let at = first.saturating_add(number * size);
        if u32::from_le_bytes(bytes_at(program, at)?) == PT_INTERP {
            return Err(ImageError::Dynamic);
        }
    }
    Ok(architecture)
}

fn u16_at(program: &[u8], at: usize) -> Result<u16, ImageError> {
    bytes_at(program, at).map(u16::from_le_bytes)
}

fn u64_at(program: &[u8], at: usize) -> Result<u64, ImageError> {
    bytes_at(program, at).map(u64::from_le_bytes)
}

fn bytes_at<const N: usize>(program: &[u8], at: usize) -> Result<[u8; N], ImageError> {
    let bytes = program.get(at..at.saturating_add(N)).ok_or(ImageError::NotElf)?;
    bytes.try_into().map_err(|_| ImageError::NotElf)
}
