//! Every frame of every mix meets the fate that the traffic maker says, on the express way as by the stages alone: the pipeline as the
//! worker runs it, on the tables that the harness measures on, without a device.

use shm_bridge::sides::in_memory;
use shm_bridge::{ControlSide, Direction};
use sluice_bench::layout::Layout;
use sluice_bench::settings::{HugePages, Settings};
use sluice_bench::tables::{self, GARDEN_64};
use sluice_bench::traffic::network::{HARNESS, is_in_garden};
use sluice_bench::traffic::{Fate, Mix, Spec, Traffic};
use sluice_config::{Config, Idle};
use sluice_worker::{Burst, Context, Frame, Owners, Ports, StrippedTags, Verdict, Way, pipeline};

const SESSIONS: u32 = 64;
const PACKETS: u32 = 1200;
const HEADROOM: usize = 128;
const BURST: usize = 32;
const START_NS: u64 = 1_000_000_000_000;

/// How a burst is judged.
type Judge = fn(&mut Burst<'_>, &mut Context);

#[test]
fn the_express_way_and_the_stages_give_every_frame_its_fate() {
    let mixes: [(Direction, &str, &[usize]); 4] = [
        (Direction::Upstream, "adversarial", &[64]),
        (Direction::Downstream, "adversarial", &[64]),
        (
            Direction::Upstream,
            "dhcp=2,spoofed=10,refused=10,malformed=10",
            &[64, 570, 1518],
        ),
        (Direction::Downstream, "plain", &[64, 1518]),
    ];
    for (direction, mix, sizes) in mixes {
        let mix: Mix = mix.parse().unwrap();
        let traffic = Traffic::new(Spec {
            packets: PACKETS,
            sizes: sizes.to_vec(),
            mix,
            ..Spec::plain(direction, SESSIONS)
        })
        .unwrap();
        for (way, judge) in [
            ("express", pipeline::run as Judge),
            ("stages", pipeline::by_stages),
        ] {
            assert_fates(&traffic, gateway(mix), way, judge);
        }
    }
}

fn assert_fates(traffic: &Traffic, (_control, mut context): (ControlSide, Context), way: &str, judge: Judge) {
    let port = Layout::One.receiving(traffic.direction(), 0) as u8;
    let all: Vec<(Vec<u8>, Fate)> = traffic.all(&HARNESS).collect();
    for (number, part) in all.chunks(BURST).enumerate() {
        let mut buffers: Vec<Vec<u8>> = part
            .iter()
            .map(|(frame, _)| {
                let mut buffer = vec![0; HEADROOM + 2048];
                buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
                buffer
            })
            .collect();
        let port = *context.ports.get(port).unwrap();
        let mut burst = Burst::new(&port, Way::Whole, START_NS + number as u64 * 1_000_000);
        for (buffer, (frame, _)) in buffers.iter_mut().zip(part) {
            assert!(burst.push(Frame::new(buffer, HEADROOM, frame.len()), StrippedTags::None));
        }
        judge(&mut burst, &mut context);
        for (lane, (frame, fate)) in burst.lanes().iter().zip(part) {
            let met = match lane.verdict().unwrap() {
                Verdict::Forward { .. } => Fate::Forwarded(lane.frame.bytes().to_vec()),
                Verdict::Drop(reason) => Fate::Dropped(reason),
                Verdict::Punt(_) => Fate::Punted,
                Verdict::HandOver { .. } => panic!("one lcore owns everybody"),
            };
            assert_eq!(met, *fate, "{way}: {frame:02x?}");
        }
    }
    // Each drop stands under its reason.
    let expected = traffic.expected(&HARNESS, traffic.len() as u64);
    assert_eq!(
        context.counts.drops().collect::<Vec<_>>(),
        Vec::from_iter(expected.dropped)
    );
}

/// The harness's tables in memory; where the mix has refused frames, one session of eight is in the garden.
fn gateway(mix: Mix) -> (ControlSide, Context) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sluice.toml");
    let settings = Settings {
        name: "fates".to_owned(),
        dir: dir.path().to_owned(),
        pages: HugePages::Never,
        idle: Idle::Poll,
        sessions: SESSIONS,
        mbufs: 8192,
        access: vec!["net_null0".to_owned()],
        core: vec!["net_null1".to_owned()],
    };
    std::fs::write(&path, settings.to_toml()).unwrap();
    let config = Config::load(&path).unwrap();
    let (control, worker) = in_memory(&config.segment().geometry).unwrap();
    let filled = tables::fill(&control, SESSIONS, Layout::One).unwrap();
    filled.set_policies(&control, |session| {
        (mix.refused > 0 && is_in_garden(session)).then_some(GARDEN_64)
    });
    let ports = Ports::from_config(&config);
    let context = Context::new(worker.tables.clone(), ports, Owners::alone(0), &config.punt);
    (control, context)
}
