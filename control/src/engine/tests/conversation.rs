//! What is said in a conversation, to whom, and what is refused.

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};

use super::super::testing::*;
use super::super::*;

#[test]
fn a_stranger_gets_an_address_of_the_garden_and_its_row_is_there_before_the_ack() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);

    let address = bench.dora(&cpe);

    assert_eq!(address, Ipv4Addr::new(10, 255, 0, 2));
    let row = bench.world.row_of(address).unwrap();
    assert_eq!(row.line, cpe.line.unwrap());
    assert_eq!((row.mac, row.prefix_len), (cpe.mac, 24));
    assert_eq!(row.policy.state, State::Wgar);
    assert_eq!(row.policy.garden.as_deref(), Some("unactivated"));
    assert_eq!(row.policy.qos, Qos::default());
    let session = bench.only();
    assert_eq!(session.identity.0, "agg-01|1/1/1");
    assert_eq!(session.access.ont_serial.as_deref(), Some("ADTN00000001"));
    assert_eq!(bench.world.store.sessions[&session.id], session);
    let kinds: Vec<&str> = bench.world.told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["SessionDiscovered", "SessionStateChanged", "AddressBound"]
    );
    assert_eq!(bench.world.store.events, bench.world.told);
}

#[test]
fn a_known_subscriber_gets_his_service_with_the_first_conversation() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);

    let address = bench.dora(&cpe);

    assert_eq!(address, Ipv4Addr::new(10, 0, 0, 2));
    let row = bench.world.row_of(address).unwrap();
    assert_eq!(
        (row.policy.state, row.policy.garden.clone()),
        (State::Active, None)
    );
    assert_eq!(row.policy.qos.download_bps, 100_000_000);
}

#[test]
fn offer_and_ack_carry_what_the_pool_says_and_echo_what_the_rfcs_say() {
    let mut bench = Bench::new();
    let mut cpe = Client::on(1);
    cpe.client_id = Some(vec![1, 2, 0, 0, 0, 0, 1]);
    bench.knows(&cpe.identity(), "isp", Standing::Active);

    let (out, offer) = bench.dhcp(&cpe, cpe.discover()).remove(0);
    let (_, ack) = bench.dhcp(&cpe, cpe.select(offer.yiaddr())).remove(0);

    for message in [&offer, &ack] {
        let options = message.opts();
        let expected = [
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
            DhcpOption::Router(vec![Ipv4Addr::new(10, 0, 0, 1)]),
            DhcpOption::DomainNameServer(vec![Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(1, 0, 0, 1)]),
            DhcpOption::BroadcastAddr(Ipv4Addr::new(10, 0, 0, 255)),
            DhcpOption::AddressLeaseTime(600),
            DhcpOption::ServerIdentifier(SERVER),
            DhcpOption::Renewal(300),
            DhcpOption::Rebinding(525),
            DhcpOption::ClientIdentifier(vec![1, 2, 0, 0, 0, 0, 1]),
        ];
        for option in expected {
            assert_eq!(options.get(OptionCode::from(&option)), Some(&option));
        }
        assert_eq!(message.xid(), cpe.xid);
        assert_eq!(message.chaddr(), cpe.mac.0);
    }
    let info = cpe.relay_info();
    let end = [&[82, info.len() as u8][..], &info, &[255]].concat();
    let last = out.payload.iter().rposition(|octet| *octet == 255).unwrap();
    assert!(out.payload[..=last].ends_with(&end));
    assert!(out.payload.len() >= 300);
}

#[test]
fn answers_go_where_rfc_2131_section_4_1_sends_them() {
    let mut bench = Bench::new();
    let mut cpe = Client::on(1);
    let line = cpe.line.unwrap();
    let to = |mac| Egress::Line { line, mac };

    let (offer, message) = bench.dhcp(&cpe, cpe.discover()).remove(0);
    let address = message.yiaddr();
    assert_eq!((offer.to, offer.destination), (to(cpe.mac), address));
    assert_eq!((offer.source, offer.destination_port), (SERVER, 68));

    cpe.broadcast = true;
    let (ack, _) = bench.dhcp(&cpe, cpe.select(address)).remove(0);
    assert_eq!(
        (ack.to, ack.destination),
        (to(Mac::BROADCAST), Ipv4Addr::BROADCAST)
    );

    let (renewed, message) = bench.dhcp(&cpe, cpe.renew(address)).remove(0);
    assert_eq!((renewed.to, renewed.destination), (to(cpe.mac), address));
    assert_eq!(message.ciaddr(), address);

    cpe.broadcast = false;
    let foreign = Ipv4Addr::new(10, 255, 0, 99);
    let (nak, message) = bench.dhcp(&cpe, cpe.renew(foreign)).remove(0);
    assert_eq!(
        (nak.to, nak.destination),
        (to(Mac::BROADCAST), Ipv4Addr::BROADCAST)
    );
    assert_eq!(message.opts().msg_type(), Some(MessageType::Nak));
    assert_eq!(message.yiaddr(), Ipv4Addr::UNSPECIFIED);
    assert_eq!(message.opts().get(OptionCode::AddressLeaseTime), None);
}

#[test]
fn a_client_gets_the_address_it_asks_for_where_it_is_free() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let wish = Ipv4Addr::new(10, 255, 0, 77);
    let mut discover = cpe.discover();
    discover.opts_mut().insert(DhcpOption::RequestedIpAddress(wish));

    let offer = one(bench.dhcp(&cpe, discover.clone()), MessageType::Offer).unwrap();
    assert_eq!(offer.yiaddr(), wish);

    let other = Client::on(2);
    let mut discover = other.discover();
    discover.opts_mut().insert(DhcpOption::RequestedIpAddress(wish));
    let offer = one(bench.dhcp(&other, discover), MessageType::Offer).unwrap();
    assert_ne!(offer.yiaddr(), wish);
}

#[test]
fn a_client_that_chose_another_server_gives_the_offer_back() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let offered = bench.discover(&cpe).unwrap();
    let mut request = cpe.init_reboot(offered);
    request
        .opts_mut()
        .insert(DhcpOption::ServerIdentifier(Ipv4Addr::new(192, 168, 0, 1)));

    assert_eq!(outcome(bench.dhcp(&cpe, request)), Outcome::Silence);

    assert_eq!(bench.refused("other_server"), 1);
    assert_eq!(bench.pool("wgar").offered, 0);
}

#[test]
fn inform_is_answered_with_options_and_no_lease_for_the_own_address_only() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);

    let (out, ack) = bench.dhcp(&cpe, cpe.inform(address)).remove(0);
    assert_eq!(out.destination, address);
    assert_eq!(ack.opts().msg_type(), Some(MessageType::Ack));
    assert_eq!(ack.yiaddr(), Ipv4Addr::UNSPECIFIED);
    assert!(ack.opts().get(OptionCode::AddressLeaseTime).is_none());
    assert!(ack.opts().get(OptionCode::DomainNameServer).is_some());

    assert!(
        bench
            .dhcp(&cpe, cpe.inform(Ipv4Addr::new(10, 255, 0, 9)))
            .is_empty()
    );
    assert_eq!(bench.refused("not_the_holder"), 1);
}

#[test]
fn option_82_from_an_untrusted_line_is_refused_and_counted() {
    let mut bench = Bench::new();
    let mut liar = Client::untrusted(100, 1, 1);
    liar.circuit_id = Some("agg-01|1/1/1".into());

    assert!(bench.dhcp(&liar, liar.discover()).is_empty());

    assert_eq!(bench.refused("relay_info_untrusted"), 1);
    assert!(bench.all().is_empty());
}

#[test]
fn a_trusted_line_without_option_82_is_refused_and_counted() {
    let mut bench = Bench::new();
    let mut bare = Client::on(1);
    bare.circuit_id = None;
    bare.remote_id = None;

    assert!(bench.dhcp(&bare, bare.discover()).is_empty());

    assert_eq!(bench.refused("relay_info_missing"), 1);
}

#[test]
fn option_82_that_disagrees_with_the_tags_is_answered_and_counted() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);
    let mut moved = cpe.clone();
    moved.line = Some(Line {
        port: 0,
        s_vlan: 101,
        c_vlan: 7,
    });

    let new = bench.dora(&moved);

    assert_eq!(old, new);
    assert!(bench.noted("relay_info_disagrees") > 0);
    assert_eq!(bench.world.row_of(new).unwrap().line, moved.line.unwrap());
    assert_eq!(bench.only().line, moved.line);
    assert_eq!(bench.world.rows_in_use(), 1);
}

#[test]
fn what_only_a_forger_sends_is_refused_and_counted() {
    let mut bench = Bench::new();
    let mut relay = Client::on(1);
    relay.giaddr = RELAY;
    assert!(bench.dhcp(&relay, relay.discover()).is_empty());
    assert_eq!(bench.refused("relay_from_line"), 1);

    let cpe = Client::on(2);
    let payload = cpe.payload(&cpe.discover());
    let from = Ingress::Line {
        line: cpe.line.unwrap(),
        mac: Mac([2, 9, 9, 9, 9, 9]),
    };
    bench.tell(Event::Dhcp(DhcpIn {
        from,
        source: Ipv4Addr::UNSPECIFIED,
        destination: Ipv4Addr::BROADCAST,
        payload,
    }));
    assert_eq!(bench.refused("sender_mismatch"), 1);

    let mut nowhere = Client::on(3);
    nowhere.line = Some(Line {
        port: 0,
        s_vlan: 300,
        c_vlan: 3,
    });
    assert!(bench.dhcp(&nowhere, nowhere.discover()).is_empty());
    nowhere.line = Some(Line {
        port: 2,
        s_vlan: 0,
        c_vlan: 0,
    });
    assert!(bench.dhcp(&nowhere, nowhere.discover()).is_empty());
    assert_eq!(bench.refused("unknown_line"), 2);
    assert!(bench.all().is_empty());
}

#[test]
fn a_request_that_names_no_address_is_refused() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);

    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.message(MessageType::Request))),
        Outcome::Silence
    );

    assert_eq!(bench.refused("no_address_asked"), 1);
}
