//! Classic pcap files (microseconds, Ethernet): frames that people can look at with their own tools.

use std::fs;
use std::io;
use std::path::Path;

const MAGIC: u32 = 0xa1b2_c3d4;
const LINK_ETHERNET: u32 = 1;
const SNAP_LEN: u32 = 65_535;
const HEADER_BYTES: usize = 24;
const RECORD_BYTES: usize = 16;

/// Writes frames, a millisecond apart.
pub fn write(path: &Path, frames: &[Vec<u8>]) -> io::Result<()> {
    let mut file = Vec::new();
    file.extend(MAGIC.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(SNAP_LEN.to_le_bytes());
    file.extend(LINK_ETHERNET.to_le_bytes());
    for (millisecond, frame) in frames.iter().enumerate() {
        let len = (frame.len() as u32).to_le_bytes();
        file.extend((millisecond as u32 / 1000).to_le_bytes());
        file.extend((millisecond as u32 % 1000 * 1000).to_le_bytes());
        file.extend(len);
        file.extend(len);
        file.extend(frame);
    }
    fs::write(path, file)
}

/// Reads the frames of a file of this machine's byte order or little-endian, whole ones only.
pub fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let file = fs::read(path)?;
    let wrong =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let word = |at: usize| {
        let bytes = file.get(at..at + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    if word(0) != Some(MAGIC) || word(20) != Some(LINK_ETHERNET) {
        return Err(wrong("is no little-endian Ethernet pcap file"));
    }
    let mut frames = Vec::new();
    let mut at = HEADER_BYTES;
    while at < file.len() {
        let len = word(at + 8).ok_or_else(|| wrong("ends inside a record"))? as usize;
        let start = at + RECORD_BYTES;
        let frame = file
            .get(start..start + len)
            .ok_or_else(|| wrong("ends inside a frame"))?;
        frames.push(frame.to_vec());
        at = start + len;
    }
    Ok(frames)
}
