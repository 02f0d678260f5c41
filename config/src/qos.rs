//! The two rates of a service, checked once: an API and a file accept the same.

use crate::problem::ProblemKind;
use crate::reader::Section;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// A subscriber's rates in bits per second of IP, each within [`Qos::RATE_BPS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawQos", into = "RawQos")]
pub struct Qos {
    download_bps: u64,
    upload_bps: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct RawQos {
    download_bps: u64,
    upload_bps: u64,
}

/// A rate no policer can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rate_bps} bit/s is outside {min}..={max}", min = Qos::RATE_BPS.start(), max = Qos::RATE_BPS.end())]
pub struct QosError {
    pub rate_bps: u64,
}

impl Qos {
    /// From 1 kbit/s, where one packet takes seconds, to 400 Gbit/s, the fastest port there is.
    pub const RATE_BPS: RangeInclusive<u64> = 1_000..=400_000_000_000;

    pub fn new(download_bps: u64, upload_bps: u64) -> Result<Qos, QosError> {
        match [download_bps, upload_bps]
            .into_iter()
            .find(|rate| !Qos::RATE_BPS.contains(rate))
        {
            Some(rate_bps) => Err(QosError { rate_bps }),
            None => Ok(Qos {
                download_bps,
                upload_bps,
            }),
        }
    }

    pub const fn download_bps(self) -> u64 {
        self.download_bps
    }

    pub const fn upload_bps(self) -> u64 {
        self.upload_bps
    }

    /// Both or none; read from the table of a subscriber or rule.
    pub(crate) fn read(section: &Section<'_>) -> Option<Qos> {
        let rate = |key| section.number(key, Qos::RATE_BPS, "bit/s");
        let (download, upload) = (rate("qos_download_bps"), rate("qos_upload_bps"));
        for (given, other) in [
            ("qos_download_bps", "qos_upload_bps"),
            ("qos_upload_bps", "qos_download_bps"),
        ] {
            if section.has(given) && !section.has(other) {
                section.wrong(other, ProblemKind::HalfAPair { given });
            }
        }
        Qos::new(download?, upload?).ok()
    }
}

impl TryFrom<RawQos> for Qos {
    type Error = QosError;
    fn try_from(raw: RawQos) -> Result<Qos, QosError> {
        Qos::new(raw.download_bps, raw.upload_bps)
    }
}

impl From<Qos> for RawQos {
    fn from(qos: Qos) -> RawQos {
        RawQos {
            download_bps: qos.download_bps,
            upload_bps: qos.upload_bps,
        }
    }
}
