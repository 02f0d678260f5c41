//! The command line.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;

use crate::client::Client;
use crate::demo::Demo;
use crate::error::CliError;
use crate::output::Format;
use crate::rate::Rate;
use crate::selector::Selector;
use crate::socket;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  refused or failed; the reason is on standard error
  2  wrong usage
  3  the control process cannot be reached
  130  interrupted";

/// The command of the Sluice broadband network gateway.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub place: Place,
    /// Print JSON as the gateway answers it, not a table.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub action: Action,
}

/// Where the gateway is.
#[derive(Debug, ClapArgs)]
pub struct Place {
    /// The control process's Unix socket.
    #[arg(long, global = true, env = "SLUICE_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The gateway's configuration, which says where the socket is.
    #[arg(long, global = true, env = "SLUICE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Place {
    pub fn client(&self) -> Result<Client, CliError> {
        socket::find(self.socket.as_deref(), self.config.as_deref()).map(Client::new)
    }
}

impl Args {
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Table }
    }
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Check a configuration file, and the subscribers' file that it names.
    Check(Check),
    /// Run control and worker, and start anew whichever dies.
    Run(Run),
    /// Play a subscriber's whole life on real frames, in network namespaces of its own.
    Demo(Demo),
    /// Show what the gateway knows.
    Show {
        #[command(subcommand)]
        what: What,
    },
    /// Give a subscriber his service.
    Activate(Activate),
    /// Take the service away for now; the suspended garden remains.
    Suspend(Target),
    /// Give a suspended subscriber his service back.
    Resume(Target),
    /// End a subscriber's service for good.
    Terminate(Target),
    /// Show what happened, and with --follow what happens.
    Events(Events),
    /// Measure a gateway from outside.
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Print a completion script for a shell.
    Completions { shell: Shell },
}

#[derive(Debug, Subcommand)]
pub enum Bench {
    /// The highest rate without loss between two ports (RFC 2544): runs sluice-ndr, whose arguments follow as they are; its
    /// --help says which.
    #[command(disable_help_flag = true)]
    Ndr {
        /// `[EAL ARGUMENTS] -- --access <DEVICE> --core <DEVICE> …`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
}

#[derive(Debug, ClapArgs)]
pub struct Check {
    pub file: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub struct Run {
    /// Where sluice-worker and sluice-control are; beside this program if not given.
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
    /// Arguments for DPDK's EAL, such as `-l 2-3 -a 0000:8a:00.0`.
    #[arg(last = true, value_name = "EAL")]
    pub eal: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Sessions; all filters given must fit.
    Sessions(Sessions),
    /// One session with its live counters.
    Session { session: Selector },
    /// Address pools and their use.
    Pools,
    /// Ports, their links and counts.
    Ports,
    /// Dropped packets by reason.
    Drops(Reasons),
    /// Packets handed to control, by reason.
    Punts(Reasons),
    /// Latency from receive to transmit.
    Latency(Detail),
    /// Lcores: the sum of what came and went, their load, and what a packet costs stage by stage.
    Lcores,
}

#[derive(Debug, Default, ClapArgs)]
pub struct Sessions {
    /// discovered, wgar, activating, active, suspended or terminated.
    #[arg(long)]
    pub state: Option<String>,
    /// Pool of the present address.
    #[arg(long)]
    pub pool: Option<String>,
    #[arg(long)]
    pub circuit_id: Option<String>,
    #[arg(long)]
    pub ont_serial: Option<String>,
    #[arg(long)]
    pub ip: Option<Ipv4Addr>,
    #[arg(long)]
    pub mac: Option<String>,
    /// Show at most this many.
    #[arg(long)]
    pub limit: Option<usize>,
}

#[derive(Debug, ClapArgs)]
pub struct Reasons {
    /// Also reasons that never occurred.
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Detail {
    /// Also every bucket that counted any, as a histogram.
    #[arg(long)]
    pub buckets: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Activate {
    pub ont_serial: String,
    /// What the operator's business systems call the service.
    #[arg(long)]
    pub service_id: String,
    #[arg(long)]
    pub pool: String,
    /// Bit/s, such as 100000000, 100M or 1.5G.
    #[arg(long, value_name = "RATE")]
    pub download: Rate,
    /// Bit/s, such as 20000000, 20M or 1G.
    #[arg(long, value_name = "RATE")]
    pub upload: Rate,
    /// S-VLAN of the line after activation, where it moves.
    #[arg(long)]
    pub s_vlan: Option<u16>,
    /// C-VLAN of the line after activation, where it moves.
    #[arg(long)]
    pub c_vlan: Option<u16>,
    /// Do not have the OLT take the line down and up.
    #[arg(long)]
    pub no_bounce: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Target {
    /// A session's id, IP or MAC address, or an ONT's serial number; or said in full: ip=…, mac=…, session-id=…, ont-serial=…,
    /// circuit-id=….
    pub session: Selector,
    /// Why, for the record.
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct Events {
    /// Go on with what happens, until interrupted.
    #[arg(long, short)]
    pub follow: bool,
    /// Only events after this one; all that are kept if not given.
    #[arg(long, value_name = "SEQUENCE")]
    pub after: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_testers_arguments_pass_as_they_are() {
        let line = [
            "sluice", "bench", "ndr", "-l", "1", "--", "--rate", "1M", "--json",
        ];

        let args = Args::try_parse_from(line).unwrap();

        let Action::Bench {
            what: Bench::Ndr { arguments },
        } = args.action
        else {
            panic!("{:?}", args.action);
        };
        assert_eq!(arguments, line[3..]);
    }

    #[test]
    fn what_follows_two_dashes_is_for_the_eal() {
        let args = Args::try_parse_from([
            "sluice",
            "run",
            "--config",
            "x.toml",
            "--",
            "-l",
            "1",
            "--no-huge",
        ]);

        let args = args.unwrap();
        assert_eq!(args.place.config, Some("x.toml".into()));
        let Action::Run(run) = args.action else {
            panic!("{:?}", args.action);
        };
        assert_eq!(run.eal, ["-l", "1", "--no-huge"]);
    }
}
