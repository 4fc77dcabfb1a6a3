//! How a record lies in the journal: length, checksum, number, JSON. Pure.
//!
//! A segment begins with [`MAGIC`] and the number of its first record. A frame whose checksum is wrong, or that is not whole, ends
//! what can be read: it was being written when the power went.

use super::record::Record;

/// What every segment begins with. The last digit counts the format.
pub const MAGIC: &[u8; 8] = b"ARIAJRN1";
/// Bytes before a segment's first frame: magic, number of the first record, checksum of both.
pub const HEADER_BYTES: usize = 20;
/// Bytes of a frame before its JSON: length, checksum, number.
pub const HEAD_BYTES: usize = 16;
/// Largest JSON of a record. Ten times what a turn or a tool's output may have; a longer "length" is damage.
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// The first bytes of a segment.
pub fn header(first: u64) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&first.to_le_bytes());
    let sum = crc32c::crc32c(&out[..16]);
    out[16..].copy_from_slice(&sum.to_le_bytes());
    out
}

/// The number of a segment's first record; `None` if this is no header.
pub fn parse_header(bytes: &[u8]) -> Option<u64> {
    let head = bytes.get(..HEADER_BYTES)?;
    let whole = &head[..8] == MAGIC && crc32c::crc32c(&head[..16]) == word(&head[16..]);
    whole.then(|| long(&head[8..16]))
}

/// Appends a frame. `Err`: the record is too large and nothing was appended.
pub fn push(out: &mut Vec<u8>, number: u64, record: &Record) -> Result<(), TooLarge> {
    let begin = out.len();
    out.resize(begin + HEAD_BYTES, 0);
    // Records are plain data with string keys: writing them to memory cannot fail.
    serde_json::to_writer(&mut *out, record).expect("a record is plain data");
    let length = out.len() - begin - HEAD_BYTES;
    if length > MAX_RECORD_BYTES {
        out.truncate(begin);
        return Err(TooLarge);
    }
    out[begin..begin + 4].copy_from_slice(&(length as u32).to_le_bytes());
    out[begin + 8..begin + 16].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(&out[begin..]);
    out[begin + 4..begin + 8].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// The record is above [`MAX_RECORD_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of more than {MAX_RECORD_BYTES} bytes")]
pub struct TooLarge;

/// One frame as it lies in the journal.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The record's number.
    pub number: u64,
    /// Its JSON.
    pub json: &'a [u8],
    /// Bytes of the whole frame.
    pub bytes: usize,
}

/// The frame at the start of `bytes`; `None` where there is no whole and sound one.
pub fn parse(bytes: &[u8]) -> Option<Frame<'_>> {
    let length = word(bytes.get(..4)?) as usize;
    // A file system may leave zeros where data never arrived: their checksum must not be asked.
    if length == 0 || length > MAX_RECORD_BYTES {
        return None;
    }
    let frame = bytes.get(..HEAD_BYTES + length)?;
    let sound = checksum(frame) == word(&frame[4..8]);
    sound.then(|| Frame { number: long(&frame[8..16]), json: &frame[HEAD_BYTES..], bytes: frame.len() })
}

/// Over everything of a frame but the checksum itself.
fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

fn long(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |long, byte| (long << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Record {
        Record::Event { sid: "CA1".into(), kind: "note".into(), at_ms: 1, detail: text.into() }
    }

    #[test]
    fn a_frame_is_read_as_it_was_written_and_not_one_byte_of_it_may_change() {
        let mut bytes = Vec::new();
        push(&mut bytes, 7, &note("hello")).unwrap();
        let whole = bytes.len();
        push(&mut bytes, 8, &note("more")).unwrap();
        let frame = parse(&bytes).unwrap();
        assert_eq!((frame.number, frame.bytes), (7, whole));
        assert_eq!(serde_json::from_slice::<Record>(frame.json).unwrap(), note("hello"));
        assert_eq!(parse(&bytes[whole..]).unwrap().number, 8);
        for cut in 0..whole {
            assert_eq!(parse(&bytes[..cut]), None, "cut at {cut}");
            let mut damaged = bytes[..whole].to_vec();
            damaged[cut] ^= 0x40;
            assert_eq!(parse(&damaged), None, "damaged at {cut}");
        }
        assert_eq!(parse(&[0; 64]), None);
    }

    #[test]
    fn a_header_is_whole_or_none() {
        let bytes = header(42);
        assert_eq!(parse_header(&bytes), Some(42));
        for i in 0..HEADER_BYTES {
            assert_eq!(parse_header(&bytes[..i]), None);
            let mut damaged = bytes;
            damaged[i] ^= 1;
            assert_eq!(parse_header(&damaged), None);
        }
    }

    #[test]
    fn what_is_too_large_leaves_nothing_behind() {
        let mut bytes = vec![1];
        assert_eq!(push(&mut bytes, 1, &note(&"x".repeat(MAX_RECORD_BYTES))), Err(TooLarge));
        assert_eq!(bytes, [1]);
    }
}
