//! Answers, read back by dhcproto.

use dhcproto::v4::OptionCode;
use dhcproto::{Decodable, Decoder};

use super::*;
use crate::dhcp::Kind;

fn request() -> Request {
    Request {
        kind: Kind::Request,
        xid: 9,
        flags: 0,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        chaddr: Mac([2, 0, 0, 0, 0, 1]),
        requested: None,
        server_id: None,
        client_id: None,
        relay_info: None,
    }
}

fn pool() -> Pool {
    let text = crate::engine::testing::CONFIG;
    let config = sluice_config::Config::parse("sluice.toml", text).unwrap();
    config.pool("isp").unwrap().clone()
}

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
const LINE: Option<Line> = Some(Line {
    port: 0,
    s_vlan: 100,
    c_vlan: 1,
});

#[test]
fn the_longest_options_a_client_and_a_relay_can_send_come_back_whole() {
    let mut request = request();
    request.client_id = Some(vec![7; 255]);
    request.relay_info = Some([&[1, 253][..], &[b'c'; 253]].concat());
    let pool = pool();
    let lease = Lease {
        address: Ipv4Addr::new(10, 0, 0, 9),
        pool: &pool,
        seconds: 600,
    };

    let sent = Answer::Ack(lease).to(&request, LINE, SERVER).unwrap();

    let read = Message::decode(&mut Decoder::new(&sent.payload)).unwrap();
    assert_eq!(
        read.opts().get(OptionCode::ClientIdentifier),
        Some(&DhcpOption::ClientIdentifier(vec![7; 255]))
    );
    let info = request.relay_info.unwrap();
    let tail = [&[82, 255][..], &info, &[255]].concat();
    assert!(sent.payload.ends_with(&tail));
    assert!(sent.payload.len() < 1472, "it fits an Ethernet frame");
}

#[test]
fn relay_information_of_any_content_comes_back_byte_for_byte() {
    let mut request = request();
    request.relay_info = Some((0..=254).collect());

    let sent = Answer::Nak("no").to(&request, LINE, SERVER).unwrap();

    let info: Vec<u8> = (0..=254).collect();
    assert!(sent.payload.windows(info.len()).any(|part| part == info));
}

#[test]
fn times_follow_the_lease() {
    for (seconds, renewal, rebinding) in [
        (600, 300, 525),
        (1, 0, 1),
        (u32::MAX - 1, 2_147_483_647, 3_758_096_383),
    ] {
        let pool = pool();
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 0, 9),
            pool: &pool,
            seconds,
        };
        let sent = Answer::Offer(lease).to(&request(), LINE, SERVER).unwrap();
        let read = Message::decode(&mut Decoder::new(&sent.payload)).unwrap();
        assert_eq!(
            read.opts().get(OptionCode::Renewal),
            Some(&DhcpOption::Renewal(renewal))
        );
        assert_eq!(
            read.opts().get(OptionCode::Rebinding),
            Some(&DhcpOption::Rebinding(rebinding))
        );
    }
}
