//! The maps of sparse files: which parts of a file an archive has, in GNU's four forms (tar manual, "Sparse Formats").

use anyhow::{Context, Result, ensure};
use tar::GnuSparseHeader;

const MAX_SEGMENTS: usize = 1 << 20;

/// A part of a file that is not a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it is in the file.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// The old GNU form: segments in the header and in blocks behind it.
#[derive(Debug, Default)]
pub struct GnuMap {
    /// What has been read.
    pub segments: Vec<Segment>,
}

impl GnuMap {
    /// Takes the segments of one block.
    pub fn add(&mut self, headers: &[GnuSparseHeader]) -> Result<()> {
        ensure!(
            self.segments.len() < MAX_SEGMENTS,
            "the map of a sparse file is too large"
        );
        for header in headers.iter().filter(|header| !header.is_empty()) {
            let segment = Segment {
                offset: header.offset().ok().context("the map of a sparse file is malformed")?,
                length: header.length().ok().context("the map of a sparse file is malformed")?,
            };
            self.segments.push(segment);
        }
        Ok(())
    }
}

/// Checks that the segments are in order, lie within the file and have exactly the data that the archive has.
pub fn validate(segments: &[Segment], data: u64, real_size: u64) -> Result<()> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for segment in segments {
        ensure!(segment.offset >= end, "the map of a sparse file is not in order");
        end = segment
            .offset
            .checked_add(segment.length)
            .context("the map of a sparse file is out of range")?;
        sum += segment.length;
    }
    ensure!(
        end <= real_size && i64::try_from(real_size).is_ok(),
        "the map of a sparse file is out of range"
    );
    ensure!(sum == data, "the map of a sparse file does not fit its data");
    Ok(())
}

/// `OFFSET,LENGTH,OFFSET,LENGTH…`
pub fn parse_list(text: &[u8], separator: u8) -> Result<Vec<Segment>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = text
        .split(|byte| *byte == separator)
        .map(number)
        .collect::<Option<Vec<u64>>>();
    let numbers = numbers
        .filter(|numbers| numbers.len() % 2 == 0)
        .context("the map of a sparse file is malformed")?;
    Ok(numbers
        .chunks_exact(2)
        .map(|pair| Segment {
            offset: pair[0],
            length: pair[1],
        })
        .collect())
}

/// The form of version 1.0: a count and as many pairs, a number a line. Nothing if the text is not complete yet.
pub fn parse_map(text: &[u8]) -> Result<Option<Vec<Segment>>> {
    let malformed = "the map of a sparse file is malformed";
    let mut lines = text.split(|byte| *byte == b'\n');
    // What follows the last line break is not a complete line.
    let complete = text.iter().filter(|byte| **byte == b'\n').count();
    if complete == 0 {
        ensure!(text.iter().take(32).any(|byte| *byte == b'\n'), malformed);
        return Ok(None);
    }
    let count = lines
        .next()
        .and_then(number)
        .and_then(|n| usize::try_from(n).ok())
        .context(malformed)?;
    ensure!(count <= MAX_SEGMENTS, "the map of a sparse file is too large");
    if complete < 1 + 2 * count {
        return Ok(None);
    }
    let numbers = lines
        .take(2 * count)
        .map(number)
        .collect::<Option<Vec<u64>>>()
        .context(malformed)?;
    Ok(Some(
        numbers
            .chunks_exact(2)
            .map(|pair| Segment {
                offset: pair[0],
                length: pair[1],
            })
            .collect(),
    ))
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Segment, parse_list, parse_map, validate};

    #[test]
    fn maps_are_read() {
        let segments = vec![
            Segment { offset: 0, length: 5 },
            Segment {
                offset: 4096,
                length: 7,
            },
        ];
        assert_eq!(parse_list(b"0,5,4096,7", b',').unwrap(), segments);
        assert_eq!(parse_map(b"2\n0\n5\n4096\n7\n\0\0").unwrap(), Some(segments.clone()));
        assert_eq!(parse_map(b"2\n0\n5\n40").unwrap(), None);
        validate(&segments, 12, 5000).unwrap();
    }

    #[test]
    fn impossible_maps_are_refused() {
        let segment = |offset, length| Segment { offset, length };
        assert!(validate(&[segment(5, 5), segment(0, 1)], 6, 10).is_err());
        assert!(validate(&[segment(u64::MAX, 5)], 5, 10).is_err());
        assert!(validate(&[segment(0, 5)], 4, 10).is_err());
        assert!(validate(&[segment(0, 5)], 5, 4).is_err());
        assert!(validate(&[], 0, u64::MAX).is_err());
        assert!(parse_list(b"1,2,3", b',').is_err() && parse_list(b"1,x", b',').is_err());
        assert!(parse_map(b"99999999999\n").is_err() && parse_map(&[b'1'; 512]).is_err());
    }
}
