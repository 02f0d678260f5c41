//! libpcap's classic file: microseconds, version 2.4, Ethernet.

use std::io::{self, Write};

pub fn write(mut out: impl Write, frames: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    let header: [u32; 6] = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1];
    for word in header {
        out.write_all(&word.to_le_bytes())?;
    }
    for (time, frame) in frames.enumerate() {
        let (time, len) = (time as u32, frame.len() as u32);
        for word in [time / 1_000_000, time % 1_000_000, len, len] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    out.flush()
}

/// The frames of a file of this machine's byte order; `None` where it ends in a frame or is none.
pub fn read(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (header, mut rest) = bytes.split_at_checked(24)?;
    let magic = u32::from_le_bytes(*header.first_chunk()?);
    // Microseconds or nanoseconds.
    if magic != 0xa1b2_c3d4 && magic != 0xa1b2_3c4d {
        return None;
    }
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (record, after) = rest.split_at_checked(16)?;
        let len = u32::from_le_bytes(*record.get(8..)?.first_chunk()?);
        let (frame, after) = after.split_at_checked(len as usize)?;
        frames.push(frame);
        rest = after;
    }
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_back_and_a_cut_one_is_refused() {
        let frames = [vec![1u8; 60], vec![2; 61], vec![3; 1514]];
        let mut file = Vec::new();
        write(&mut file, frames.clone().into_iter()).unwrap();

        assert_eq!(read(&file).unwrap(), frames);
        assert_eq!(read(&file[..file.len() - 1]), None);
        assert_eq!(read(&[0; 24]), None);
    }
}
