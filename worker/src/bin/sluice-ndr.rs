//! `sluice-ndr`: the highest rate without loss (NDR) and with a little (PDR) between any two ports, after RFC 2544.
//!
//! What stands before `--` is DPDK's, what follows is ours.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use shm_bridge::Direction;
use sluice_config::{IdRanges, MacAddr};
use sluice_worker::dpdk::{
    Eal, Lcore, Mempool, MempoolConfig, Port, PortConfig, Promiscuous, ReceiveSpread, StopFlag, Timebase,
};
use sluice_worker::ndr::frames::{FRAME_BYTES_LARGEST, FRAME_BYTES_SMALLEST, Frames, IMIX};
use sluice_worker::ndr::search::{Found, Outcome, search};
use sluice_worker::ndr::settle::{Attempt, Patience, Settled, settle};
use sluice_worker::ndr::subscribers::Subscribers;
use sluice_worker::ndr::trial::{Flow, Plan, Report, Side, Tester};

/// Preamble, start delimiter and gap of a frame on the line.
const LINE_OVERHEAD_BYTES: f64 = 20.0;
/// What the tester tries itself at before it measures anything else.
const OWN_SPEED_RATE: f64 = 100_000.0;
const OWN_SPEED_SECONDS: f64 = 0.5;
const LINK_PATIENCE: Duration = Duration::from_secs(10);

/// Finds the highest rate without loss between two ports.
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = "sluice-ndr [EAL ARGUMENTS] -- --access <DEVICE> --core <DEVICE> --access-mac <MAC> --core-mac <MAC> [OPTIONS]"
)]
struct Arguments {
    /// DPDK's name of the port that faces the device's access side.
    #[arg(long)]
    access: String,
    /// DPDK's name of the port that faces the device's core side.
    #[arg(long)]
    core: String,
    /// The device's MAC address on its access side.
    #[arg(long)]
    access_mac: MacAddr,
    /// The device's MAC address on its core side.
    #[arg(long)]
    core_mac: MacAddr,
    /// The tester's MAC address as the device's next hop.
    #[arg(long, default_value = "02:00:00:00:00:03")]
    next_hop_mac: MacAddr,
    /// The device's next hop: its ARP requests for it are answered.
    #[arg(long, default_value = "192.0.2.1")]
    gateway: Ipv4Addr,
    /// TPID of the outer tag, hexadecimal.
    #[arg(long, default_value = "88a8", value_parser = tpid)]
    outer_tpid: u16,
    /// Sessions; each is a line and an address.
    #[arg(long, default_value_t = 4096)]
    sessions: u32,
    #[arg(long, default_value = "1-256")]
    s_vlans: IdRanges,
    #[arg(long, default_value = "1-4094")]
    c_vlans: IdRanges,
    /// Address of session 0; the others follow it.
    #[arg(long, default_value = "100.64.0.0")]
    first_address: Ipv4Addr,
    #[arg(long, value_enum, default_value = "both")]
    direction: Way,
    /// Frame lengths with FCS as the tester sends them, tags included; `imix` is 7:4:1 of 64, 570 and 1518.
    #[arg(long, default_value = "64", value_delimiter = ',', value_parser = size)]
    sizes: Vec<Size>,
    /// The highest rate tried, each direction: frames a second such as 500000, 500k or 14.88M, or a share of --line-rate: 100%.
    #[arg(long, value_parser = rate)]
    rate: Rate,
    /// Bit/s of the line, such as 10G: what a rate in percent is a share of.
    #[arg(long, value_parser = number)]
    line_rate: Option<f64>,
    /// One trial at the rate instead of a search; a loss is then exit code 1.
    #[arg(long)]
    fixed: bool,
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    seconds: f64,
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    warm_up_seconds: f64,
    /// How long frames may take to come back.
    #[arg(long, default_value_t = 500)]
    drain_ms: u64,
    /// Where the search ends, percent of the highest rate.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    resolution: f64,
    /// The loss that PDR allows, percent.
    #[arg(long, default_value_t = 0.5, value_parser = positive)]
    pdr_loss: f64,
    /// Trials at each rate; the worst counts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// A turn of the tester's own loop that takes longer is a pause: it had lost its core.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    pause_us: u64,
    /// Trials made again at each rate because the tester paused in them and something was lost, or sent too late.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(..=100))]
    retries: u32,
    /// Trials that may lose before their rate has failed; more than 1 for a device that shares its core with other programs.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    best_of: u32,
    /// Sends no more than what keeps so many frames in flight, each direction; a rate is then what both sides come to, and only what
    /// the device itself drops is lost. For software ports on cores that other programs share: the rest of the search is left out.
    #[arg(long, value_parser = clap::value_parser!(u64).range(32..=65_536))]
    in_flight: Option<u64>,
    /// Latency is measured at these percentages of the NDR.
    #[arg(long, default_value = "10,50,90", value_delimiter = ',', value_parser = positive)]
    latency_at: Vec<f64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Upstream,
    Downstream,
    Both,
}

#[derive(Clone, Debug)]
struct Size {
    name: String,
    bytes: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Rate {
    FramesPerSecond(f64),
    ShareOfLine(f64),
}

fn main() -> ExitCode {
    let all: Vec<String> = std::env::args().collect();
    let own = all.iter().position(|argument| argument == "--");
    let asks = |a: &String| ["-h", "--help", "-V", "--version"].contains(&a.as_str());
    let own: Vec<String> = match own {
        Some(at) => all[at + 1..].to_vec(),
        None => all.iter().skip(1).filter(|a| asks(a)).cloned().collect(),
    };
    let arguments = Arguments::parse_from(all.iter().take(1).cloned().chain(own));
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sluice-ndr: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// `false` where a fixed trial lost, damaged or doubled frames.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let subscribers = Subscribers::new(
        &arguments.s_vlans,
        &arguments.c_vlans,
        arguments.first_address,
        arguments.sessions,
    )?;
    // Wrong rates are said before DPDK takes memory and devices.
    for size in &arguments.sizes {
        arguments.frames_per_second(size)?;
    }
    let stop = StopFlag::on_signals().context("cannot install signal handlers")?;
    let (eal, _) = Eal::init(std::env::args())?;
    let pool = Mempool::create(
        &eal,
        &MempoolConfig {
            name: "ndr",
            mbufs: 16_383,
            frame_bytes_max: 2048,
            socket: None,
        },
    )?;
    let (access_port, access) = open(&eal, "access", &arguments.access, 2, &pool)?;
    let (core_port, core) = open(&eal, "core", &arguments.core, 0, &pool)?;
    wait_for_link(&[&access_port, &core_port], &stop)?;
    let frames = Frames {
        subscribers,
        access_mac: arguments.access_mac.octets(),
        core_mac: arguments.core_mac.octets(),
        next_hop_mac: arguments.next_hop_mac.octets(),
        outer_tpid: arguments.outer_tpid,
    };
    let clock = Timebase::calibrate().clock();
    let gateway = u32::from(arguments.gateway);
    let tester = Tester::new(frames, (access, core), pool, clock, stop.clone(), gateway);
    let lcore = eal.main_lcore();

    let mut bench = Bench {
        arguments,
        tester,
        lcore,
        stop,
    };
    let own = bench.own_speed()?;
    let (mut rows, mut clean) = (Vec::new(), true);
    for size in &arguments.sizes {
        let max = arguments.frames_per_second(size)?;
        if arguments.fixed {
            let settled = bench.settled(size, max)?;
            clean &= is_clean(&settled.attempt.report);
            rows.push(json!({ "frame_bytes": size.name, "asked": max, "trial": shown(&settled, max) }));
        } else {
            rows.push(bench.searched(size, max)?);
        }
    }
    if arguments.json {
        println!(
            "{:#}",
            json!({ "sessions": arguments.sessions, "tester": own, "results": rows })
        );
    } else {
        print_table(&own, &rows);
    }
    Ok(clean)
}

/// The tester and what is asked of it.
struct Bench<'a> {
    arguments: &'a Arguments,
    tester: Tester,
    lcore: Lcore,
    stop: StopFlag,
}

impl Bench<'_> {
    /// How fast the tester's own loop is at a rate that is nothing to it. A machine on which it cannot keep that has no figures to give.
    fn own_speed(&mut self) -> anyhow::Result<Value> {
        let Some(size) = self.arguments.sizes.first() else {
            bail!("no frame length");
        };
        let rate = OWN_SPEED_RATE.min(self.arguments.frames_per_second(size)?);
        let report = self.run(size, rate, OWN_SPEED_SECONDS)?;
        let seconds = report.seconds + self.arguments.drain_ms as f64 / 1e3;
        let own = json!({
            "frames_per_second": rate.round(),
            "turns_per_second": (report.pauses.turns as f64 / seconds).round(),
            "pauses": pauses(&report),
            "lost": report.flows.iter().map(Flow::lost).sum::<u64>(),
            "forfeited": report.flows.iter().map(|flow| flow.forfeited).sum::<u64>(),
        });
        if report.outcome(rate).tester_limited && !report.pauses.any() {
            bail!("the tester's own loop cannot send {rate:.0} frames a second: {own}");
        }
        Ok(own)
    }

    fn run(&mut self, size: &Size, rate: f64, seconds: f64) -> anyhow::Result<Report> {
        let plan = Plan {
            directions: self.arguments.directions(),
            sizes: size.bytes.clone(),
            rate,
            duration: Duration::from_secs_f64(seconds),
            drain: Duration::from_millis(self.arguments.drain_ms),
            pause: Duration::from_micros(self.arguments.pause_us),
            in_flight: self.arguments.in_flight,
        };
        let report = self.tester.run(&self.lcore, &plan);
        if self.stop.is_set() {
            bail!("interrupted");
        }
        Ok(report)
    }

    /// One rate, as often as it takes.
    fn settled(&mut self, size: &Size, rate: f64) -> anyhow::Result<Settled<Report>> {
        let patience = Patience {
            retries: self.arguments.retries,
            best_of: self.arguments.best_of,
        };
        settle(patience, || {
            self.run(size, rate, self.arguments.warm_up_seconds)?;
            let report = self.run(size, rate, self.arguments.seconds)?;
            Ok(Attempt {
                outcome: report.outcome(rate),
                paused: report.pauses.any(),
                report,
            })
        })
    }

    /// NDR, PDR, and latency at shares of the NDR.
    fn searched(&mut self, size: &Size, max: f64) -> anyhow::Result<Value> {
        let arguments = self.arguments;
        let mut trials = Vec::new();
        let mut worst = |rate: f64| -> anyhow::Result<Outcome> {
            let mut outcomes = Vec::new();
            for _ in 0..arguments.repeat {
                let settled = self.settled(size, rate)?;
                outcomes.push(settled.attempt.outcome);
                trials.push(shown(&settled, rate));
            }
            Ok(Outcome {
                offered: outcomes.iter().map(|o| o.offered).fold(f64::INFINITY, f64::min),
                loss: outcomes.iter().map(|o| o.loss).fold(0.0, f64::max),
                tester_limited: outcomes.iter().any(|o| o.tester_limited),
            })
        };
        let resolution = arguments.resolution / 100.0;
        let (ndr, pdr) = if arguments.in_flight.is_some() {
            let outcome = worst(max)?;
            let rate = if outcome.loss == 0.0 { outcome.offered } else { 0.0 };
            let found = Found {
                rate,
                tester_limited: true,
            };
            (found, None)
        } else {
            let pdr = arguments.pdr_loss / 100.0;
            let ndr = search(max, resolution, 0.0, &mut worst)?;
            (ndr, Some(search(max, resolution, pdr, &mut worst)?))
        };
        let mut latency = Vec::new();
        for percent in arguments.latency_at.iter().filter(|_| ndr.rate > 0.0) {
            let rate = ndr.rate * percent / 100.0;
            let settled = self.settled(size, rate)?;
            latency.push(json!({ "percent_of_ndr": percent, "trial": shown(&settled, rate) }));
        }
        Ok(json!({
            "frame_bytes": size.name, "asked": max, "ndr": found(&ndr), "pdr": pdr.as_ref().map(found),
            "latency": latency, "trials": trials,
        }))
    }
}

fn open(eal: &Eal, name: &str, device: &str, tags: u16, pool: &Mempool) -> anyhow::Result<(Port, Side)> {
    let config = PortConfig {
        name,
        device,
        rx_queues: 1,
        tx_queues: 1,
        mtu: 1500,
        tags,
        promiscuous: Promiscuous::On,
        spread: ReceiveSpread::None,
    };
    let (port, mut rx, mut tx) = Port::open(eal, &config, pool)?;
    let (Some(rx), Some(tx)) = (rx.pop(), tx.pop()) else {
        bail!("port {name} ({device}) came without queues");
    };
    Ok((port, Side { rx, tx }))
}

fn wait_for_link(ports: &[&Port], stop: &StopFlag) -> anyhow::Result<()> {
    let deadline = Instant::now() + LINK_PATIENCE;
    for port in ports {
        while !port.link().up {
            if Instant::now() > deadline || stop.is_set() {
                bail!("port {}: no link: does the device under test run?", port.name());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

impl Arguments {
    fn directions(&self) -> Vec<Direction> {
        match self.direction {
            Way::Upstream => vec![Direction::Upstream],
            Way::Downstream => vec![Direction::Downstream],
            Way::Both => vec![Direction::Upstream, Direction::Downstream],
        }
    }

    fn frames_per_second(&self, size: &Size) -> anyhow::Result<f64> {
        match self.rate {
            Rate::FramesPerSecond(rate) => Ok(rate),
            Rate::ShareOfLine(share) => {
                let line = self.line_rate.context("--rate in percent needs --line-rate")?;
                let mean = size.bytes.iter().sum::<usize>() as f64 / size.bytes.len().max(1) as f64;
                Ok(line * share / (8.0 * (mean + LINE_OVERHEAD_BYTES)))
            }
        }
    }
}

fn is_clean(report: &Report) -> bool {
    let clean = |flow: &Flow| {
        flow.received > 0
            && flow.lost() == 0
            && flow.corrupt == 0
            && flow.duplicated == 0
            && flow.reordered == 0
    };
    report.flows.iter().all(clean)
}

fn found(found: &Found) -> Value {
    json!({ "frames_per_second": found.rate.round(), "tester_limited": found.tester_limited })
}

fn pauses(report: &Report) -> Value {
    let us = |ns: u64| ns as f64 / 1e3;
    json!({
        "count": report.pauses.count, "total_us": us(report.pauses.total_ns), "longest_us": us(report.pauses.longest_ns),
    })
}

fn shown(settled: &Settled<Report>, asked: f64) -> Value {
    let report = &settled.attempt.report;
    let flows = report.flows.iter().map(|flow| {
        let us = |quantile: f64| flow.latency.value_at_quantile(quantile) as f64 / 1e3;
        let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        json!({
            "direction": if flow.direction == Direction::Upstream { "upstream" } else { "downstream" },
            "offered_per_second": (flow.offered() as f64 / report.seconds).round(),
            "sent": flow.sent, "refused_by_full_queue": flow.refused, "forfeited_by_tester": flow.forfeited,
            "received": flow.received, "lost": flow.lost(), "duplicated": flow.duplicated,
            "reordered": flow.reordered, "corrupt": flow.corrupt, "first_corrupt": flow.first_corrupt.as_ref().map(hex),
            "latency_us": { "p50": us(0.5), "p90": us(0.9), "p99": us(0.99), "p99.9": us(0.999), "p99.99": us(0.9999),
                "max": flow.latency.max() as f64 / 1e3 },
        })
    });
    json!({
        "asked_per_second": asked.round(), "tester_limited": report.outcome(asked).tester_limited,
        "trials_made": settled.trials, "spoiled_by_tester": settled.spoiled, "tester_pauses": pauses(report),
        "stale": report.stale, "foreign": report.foreign, "flows": flows.collect::<Vec<_>>(),
    })
}

fn print_table(own: &Value, rows: &[Value]) {
    println!(
        "the tester's own loop at {}/s: {} turns a second, {} pauses, the longest turn {} µs",
        own["frames_per_second"],
        own["turns_per_second"],
        own["pauses"]["count"],
        own["pauses"]["longest_us"],
    );
    println!("rates are frames a second and direction");
    for row in rows {
        let name = row["frame_bytes"].as_str().unwrap_or_default();
        let bounded = row["pdr"].is_null();
        for (what, found) in [("NDR", &row["ndr"]), ("PDR", &row["pdr"])] {
            if let Some(rate) = found["frames_per_second"].as_f64() {
                let limit = match found["tester_limited"] == true {
                    true if bounded => "  with as many frames in flight as may be",
                    true => "  or more: the tester is the limit",
                    false => "",
                };
                println!("{name:>5} B  {what}  {rate:>12.0}{limit}");
            }
        }
        if row["trial"].is_object() {
            print_trial(name, "fixed", &row["trial"]);
        }
        for latency in row["latency"].as_array().into_iter().flatten() {
            print_trial(
                name,
                &format!("{} % of NDR", latency["percent_of_ndr"]),
                &latency["trial"],
            );
        }
    }
}

fn print_trial(size: &str, what: &str, trial: &Value) {
    for flow in trial["flows"].as_array().into_iter().flatten() {
        let us = &flow["latency_us"];
        println!(
            "{size:>5} B  {what:<13} {:<10} offered {}/s sent {} lost {} duplicated {} reordered {} corrupt {}  µs p50 {} p99 {} p99.9 {} p99.99 {} max {}",
            flow["direction"].as_str().unwrap_or_default(),
            flow["offered_per_second"],
            flow["sent"],
            flow["lost"],
            flow["duplicated"],
            flow["reordered"],
            flow["corrupt"],
            us["p50"],
            us["p99"],
            us["p99.9"],
            us["p99.99"],
            us["max"],
        );
    }
    if trial["tester_limited"] == true {
        println!(
            "        the tester sent less than it was asked to: {}/s",
            trial["asked_per_second"]
        );
    }
    let pauses = &trial["tester_pauses"];
    println!(
        "        pauses of the tester: {}, {} µs in all, the longest turn {} µs; trials made: {}{}",
        pauses["count"],
        pauses["total_us"],
        pauses["longest_us"],
        trial["trials_made"],
        if trial["spoiled_by_tester"] == true {
            ", none of them without a pause: the machine's figure as much as the device's"
        } else {
            ""
        },
    );
}

fn number(text: &str) -> Result<f64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'M' | 'm')) => (&text[..at], 1e6),
        Some((at, 'G' | 'g')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    positive(digits).map(|value| value * factor)
}

fn positive(text: &str) -> Result<f64, String> {
    let value = text
        .parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value > 0.0 && *value <= 1e12);
    value.ok_or_else(|| format!("{text:?} is no number above 0"))
}

fn rate(text: &str) -> Result<Rate, String> {
    match text.strip_suffix('%') {
        Some(percent) => match positive(percent)? {
            percent if percent <= 100.0 => Ok(Rate::ShareOfLine(percent / 100.0)),
            _ => Err(format!("{text:?} is more than the line")),
        },
        None => number(text).map(Rate::FramesPerSecond),
    }
}

fn tpid(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|_| format!("{text:?} is no TPID such as 88a8"))
}

fn size(text: &str) -> Result<Size, String> {
    let bytes = match text.parse::<usize>() {
        _ if text.eq_ignore_ascii_case("imix") => IMIX.to_vec(),
        Ok(bytes) if (FRAME_BYTES_SMALLEST..=FRAME_BYTES_LARGEST).contains(&bytes) => vec![bytes],
        _ => {
            return Err(format!(
                "{text:?} is no frame length of {FRAME_BYTES_SMALLEST} to {FRAME_BYTES_LARGEST} bytes, nor imix"
            ));
        }
    };
    Ok(Size {
        name: text.to_owned(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn imix_is_seven_to_four_to_one() {
        let count = |bytes| IMIX.iter().filter(|size| **size == bytes).count();
        assert_eq!([64, 570, 1518].map(count), [7, 4, 1]);
    }

    #[test]
    fn rates_and_sizes_say_what_is_wrong() {
        assert!(matches!(rate("14.88M"), Ok(Rate::FramesPerSecond(r)) if (r - 14.88e6).abs() < 1.0));
        assert!(matches!(rate("50%"), Ok(Rate::ShareOfLine(s)) if s == 0.5));
        for wrong in ["", "-1", "0", "101%", "NaN", "inf", "x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        for wrong in ["63", "1527", "mix"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
