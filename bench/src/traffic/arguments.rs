//! The words of `sluice-bench traffic`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use shm_bridge::Direction;
use sluice_config::{IdRanges, MacAddr};
use sluice_worker::ndr::frames::IMIX;
use sluice_worker::ndr::subscribers::Subscribers;

use super::network::{Network, far_end};
use super::{Mix, Spec, Traffic};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Way {
    Upstream,
    Downstream,
}

/// What to write, for which gateway.
#[derive(Clone, Debug, clap::Args)]
pub struct TrafficArguments {
    #[arg(long, value_enum, default_value = "upstream")]
    pub direction: Way,
    /// Sessions; each is a line and an address.
    #[arg(long, default_value_t = 4096)]
    pub sessions: u32,
    /// Frames; as many as sessions where absent.
    #[arg(long)]
    pub packets: Option<u32>,
    /// Frame lengths with FCS, in turn; `imix` is 7:4:1 of 64, 570 and 1518.
    #[arg(long, default_value = "64", value_delimiter = ',', value_parser = size)]
    pub sizes: Vec<Size>,
    /// `plain`, `adversarial` (a tenth each spoofed, refused by the garden, malformed), or percents such as dhcp=5,spoofed=10.
    #[arg(long, default_value = "plain", value_name = "MIX", value_parser = mix)]
    pub mix: Mix,
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    #[arg(long, default_value = "1-4094")]
    pub s_vlans: IdRanges,
    #[arg(long, default_value = "1-4094")]
    pub c_vlans: IdRanges,
    /// Address of session 0; the others follow it.
    #[arg(long, default_value = "100.64.0.0")]
    pub first_address: Ipv4Addr,
    /// The gateway's MAC address on its access side.
    #[arg(long, default_value = "02:00:00:00:00:01")]
    pub access_mac: MacAddr,
    /// The gateway's MAC address on its core side.
    #[arg(long, default_value = "02:00:00:00:00:02")]
    pub core_mac: MacAddr,
    /// TPID of the outer tag, hexadecimal.
    #[arg(long, default_value = "88a8", value_parser = tpid)]
    pub outer_tpid: u16,
    /// The pcap file.
    #[arg(long)]
    pub out: PathBuf,
}

/// One length, or several in turn.
#[derive(Clone, Debug)]
pub struct Size(Vec<usize>);

impl TrafficArguments {
    pub fn make(&self) -> anyhow::Result<(Network, Traffic)> {
        // A neighbour's address is one that a spoofer takes.
        let network = Network {
            subscribers: Subscribers::new(&self.s_vlans, &self.c_vlans, self.first_address, self.sessions)?,
            access_mac: self.access_mac.octets(),
            core_mac: self.core_mac.octets(),
            next_hop_mac: super::network::HARNESS.next_hop_mac,
            outer_tpid: self.outer_tpid,
        };
        ensure!(
            self.mix.spoofed == 0 || self.sessions.is_multiple_of(2),
            "spoofed frames take a neighbour's address: want an even number of sessions"
        );
        let direction = match self.direction {
            Way::Upstream => Direction::Upstream,
            Way::Downstream => Direction::Downstream,
        };
        let traffic = Traffic::new(Spec {
            direction,
            sessions: self.sessions,
            packets: self.packets.unwrap_or(self.sessions),
            sizes: self.sizes.iter().flat_map(|size| size.0.clone()).collect(),
            mix: self.mix,
            far_end,
            seed: self.seed,
        })
        .context("such traffic cannot be made")?;
        Ok((network, traffic))
    }

    /// What a gateway that has these sessions must do with the file.
    pub fn fates(&self, network: &Network, traffic: &Traffic) -> String {
        let expected = traffic.expected(network, traffic.len() as u64);
        let mut lines = vec![
            format!("{}: {} frames", self.out.display(), traffic.len()),
            format!("{:>10} forwarded", expected.forwarded),
        ];
        if expected.punted > 0 {
            lines.push(format!(
                "{:>10} to control, or policed on the way",
                expected.punted
            ));
        }
        for (reason, count) in &expected.dropped {
            lines.push(format!("{count:>10} dropped: {}", reason.label()));
        }
        if self.mix.refused > 0 {
            lines.push(
                "sessions 7, 15, 23 … must be in a garden that does not permit 198.18.0.0/24; all others active"
                    .to_owned(),
            );
        }
        lines.join("\n")
    }
}

fn mix(text: &str) -> Result<Mix, String> {
    text.parse().map_err(|error: anyhow::Error| format!("{error:#}"))
}

fn tpid(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|_| format!("{text:?} is no TPID such as 88a8"))
}

fn size(text: &str) -> Result<Size, String> {
    match text.parse::<usize>() {
        _ if text.eq_ignore_ascii_case("imix") => Ok(Size(IMIX.to_vec())),
        Ok(bytes) if (64..=1518).contains(&bytes) => Ok(Size(vec![bytes])),
        _ => Err(format!(
            "{text:?} is no frame length of 64 to 1518 bytes, nor imix"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Words {
        #[command(flatten)]
        traffic: TrafficArguments,
    }

    fn made(words: &str) -> anyhow::Result<(TrafficArguments, Network, Traffic)> {
        let all = ["traffic", "--out", "F"]
            .into_iter()
            .chain(words.split_whitespace());
        let arguments = Words::try_parse_from(all)?.traffic;
        let (network, traffic) = arguments.make()?;
        Ok((arguments, network, traffic))
    }

    #[test]
    fn an_adversarial_file_says_what_must_become_of_it() {
        let (arguments, network, traffic) = made(
            "--sessions 64 --packets 1000 --mix adversarial --s-vlans 100 --access-mac 02:00:5e:00:01:01",
        )
        .unwrap();
        let said = arguments.fates(&network, &traffic);

        assert!(
            said.contains("700 forwarded") && said.contains("50 dropped: spoofed_mac"),
            "{said}"
        );
        assert!(said.contains("must be in a garden"));
        let (frame, _) = traffic.all(&network).next().unwrap();
        assert_eq!(frame[..6], [2, 0, 0x5e, 0, 1, 1]);
    }

    #[test]
    fn imix_is_a_size_and_wrong_words_are_refused() {
        let (.., traffic) = made("--sessions 12 --sizes imix").unwrap();
        let (_, network, _) = made("").unwrap();
        let bytes: usize = traffic.all(&network).map(|(frame, _)| frame.len() + 4).sum();
        assert_eq!(bytes, 7 * 64 + 4 * 570 + 1518);
        for wrong in [
            "--sizes 63",
            "--mix evil",
            "--sessions 0",
            "--sessions 9 --mix spoofed=10",
            "--c-vlans 1 --s-vlans 1",
        ] {
            assert!(made(wrong).is_err(), "{wrong}");
        }
    }
}
