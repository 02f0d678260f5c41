//! What the stories share: a process of their own, an EAL without hugepages, a port with a pool.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sluice_worker::dpdk::{
    Eal, Lcore, MbufBurst, Mempool, MempoolConfig, Port, PortConfig, PortError, Promiscuous, ReceiveSpread,
    RxQueue, TxQueue,
};

const STORY: &str = "SLUICE_DPDK_STORY";
const STORY_SECONDS_MAX: u64 = 60;
pub const POOL_MBUFS: u32 = 4095;

/// Runs `body` in a child process that executes this test alone. `name` is the test's full path.
pub fn in_own_process(name: &str, body: impl FnOnce()) {
    run(name, body, Command::new);
}

/// The same in a network namespace of its own. Needs root; without it the story says so and is not run.
pub fn in_own_network(name: &str, body: impl FnOnce()) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("{name}: not run, making a network namespace needs root");
        return;
    }
    run(name, body, |exe| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--"]).arg(exe);
        command
    });
}

fn run(name: &str, body: impl FnOnce(), command: impl FnOnce(std::path::PathBuf) -> Command) {
    if std::env::var(STORY).is_ok_and(|story| story == name) {
        return body();
    }
    let exe = std::env::current_exe().expect("this test's own path");
    let child = command(exe)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(STORY, name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the story's process");
    let (status, output) = wait(child);
    let ran = output.contains("1 passed");
    assert!(
        status.is_some_and(|status| status.success()) && ran,
        "{name}: {status:?} (None is a timeout)\n{output}"
    );
}

/// Reads both pipes in threads, so that neither fills up while the other is waited for.
fn wait(mut child: std::process::Child) -> (Option<ExitStatus>, String) {
    let pipes: [Option<Box<dyn std::io::Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    let readers = pipes.map(|pipe| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    let deadline = Instant::now() + Duration::from_secs(STORY_SECONDS_MAX);
    let status = loop {
        match child.try_wait().expect("wait for the story") {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => {
                child.kill().expect("stop a story that hangs");
                child.wait().expect("reap it");
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    (
        status,
        readers.map(|reader| reader.join().expect("a reader")).concat(),
    )
}

/// EAL with the given devices and two lcores on one CPU, memory from the heap, no files. (DPDK 22.11 refuses
/// `--in-memory` beside `--no-huge`; `--no-shconf` is the part of it that is meant here.)
pub fn start(devices: &[&str]) -> Eal {
    start_with(&["--no-shconf"], devices)
}

pub fn start_with(options: &[&str], devices: &[&str]) -> Eal {
    let common = ["test", "--no-huge", "-m", "64", "--no-pci", "--lcores", "0@0,1@0"];
    let devices = devices.iter().flat_map(|device| ["--vdev", device]);
    let arguments = common
        .iter()
        .copied()
        .chain(options.iter().copied())
        .chain(devices);
    Eal::init(arguments.map(str::to_owned)).expect("EAL").0
}

pub fn pool(eal: &Eal, name: &str) -> Mempool {
    let config = MempoolConfig {
        name,
        mbufs: POOL_MBUFS,
        frame_bytes_max: 2048,
        socket: None,
    };
    Mempool::create(eal, &config).expect("a mempool")
}

pub fn config(device: &str) -> PortConfig<'_> {
    PortConfig {
        name: "access0",
        device,
        rx_queues: 1,
        tx_queues: 1,
        mtu: 1500,
        tags: 2,
        promiscuous: Promiscuous::On,
        spread: ReceiveSpread::None,
    }
}

/// A port with one queue each way.
pub fn open(eal: &Eal, device: &str, pool: &Mempool) -> Result<(Port, RxQueue, TxQueue), PortError> {
    let (port, mut rx, mut tx) = Port::open(eal, &config(device), pool)?;
    Ok((
        port,
        rx.pop().expect("a receive queue"),
        tx.pop().expect("a transmit queue"),
    ))
}

/// A burst of `count` frames that differ: frame `i` is `14 + 46` bytes, each of value `i`.
pub fn frames(lcore: &Lcore, pool: &Mempool, count: usize) -> MbufBurst {
    let mut burst = MbufBurst::new(lcore);
    assert!(pool.allocate(&mut burst, count));
    for (value, mbuf) in (0..).zip(burst.iter_mut()) {
        assert!(mbuf.fill(&[value; 60]));
    }
    burst
}

/// Receives until `count` packets are there, or five seconds have passed.
pub fn receive(lcore: &Lcore, rx: &mut RxQueue, count: usize) -> MbufBurst {
    let mut burst = MbufBurst::new(lcore);
    let deadline = Instant::now() + Duration::from_secs(5);
    while burst.len() < count && Instant::now() < deadline {
        if rx.receive(&mut burst) == 0 {
            std::thread::yield_now();
        }
    }
    burst
}
