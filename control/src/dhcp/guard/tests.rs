//! The guard's refusals, one by one, and dhcproto's second opinion on what it accepts.

use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use proptest::prelude::*;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn message(kind: MessageType) -> Message {
    let mut message = Message::new_with_id(
        7,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::UNSPECIFIED,
        &MAC,
    );
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    message
}

fn payload(message: &Message) -> Vec<u8> {
    let mut payload = Vec::new();
    message.encode(&mut Encoder::new(&mut payload)).unwrap();
    payload
}

/// A DISCOVER whose options are `options`, written as they stand.
fn with_options(options: &[u8]) -> Vec<u8> {
    let mut payload = payload(&message(MessageType::Discover));
    payload.truncate(OPTIONS_AT);
    payload.extend_from_slice(options);
    payload
}

fn refusal(payload: &[u8]) -> Refusal {
    Request::parse(payload).expect_err("a refusal")
}

#[test]
fn a_request_is_read_as_it_was_written() {
    let mut sent = message(MessageType::Request);
    sent.set_ciaddr(Ipv4Addr::new(10, 0, 0, 5));
    for option in [
        DhcpOption::RequestedIpAddress(Ipv4Addr::new(10, 0, 0, 6)),
        DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 1)),
        DhcpOption::ClientIdentifier(vec![0, 1, 2]),
        DhcpOption::Hostname("cpe".into()),
    ] {
        sent.opts_mut().insert(option);
    }

    let request = Request::parse(&payload(&sent)).unwrap();

    assert_eq!(
        request,
        Request {
            kind: Kind::Request,
            xid: 7,
            flags: 0,
            ciaddr: Ipv4Addr::new(10, 0, 0, 5),
            giaddr: Ipv4Addr::UNSPECIFIED,
            chaddr: Mac(MAC),
            requested: Some(Ipv4Addr::new(10, 0, 0, 6)),
            server_id: Some(Ipv4Addr::new(10, 0, 0, 1)),
            client_id: Some(vec![0, 1, 2]),
            relay_info: None,
        }
    );
}

#[test]
fn each_wrong_field_has_its_name() {
    let good = payload(&message(MessageType::Discover));
    let with = |at: usize, value: u8| {
        let mut wrong = good.clone();
        wrong[at] = value;
        refusal(&wrong)
    };

    for length in 0..OPTIONS_AT {
        assert_eq!(refusal(&good[..length]), Refusal::Truncated, "{length}");
    }
    assert_eq!(with(0, 2), Refusal::NotARequest);
    assert_eq!(with(1, 6), Refusal::HardwareType);
    assert_eq!(with(2, 16), Refusal::HardwareType);
    // dhcproto panics at this one.
    assert_eq!(with(2, 17), Refusal::HardwareLength);
    assert_eq!(with(28, 1), Refusal::HardwareAddress);
    assert_eq!(with(236, 0), Refusal::MagicCookie);
}

#[test]
fn each_wrong_option_has_its_name() {
    for (options, expected) in [
        (&[][..], Refusal::NoMessageType),
        (&[255], Refusal::NoMessageType),
        (&[53], Refusal::OptionTruncated),
        (&[53, 1], Refusal::OptionTruncated),
        (&[53, 1, 1, 12, 200, 1], Refusal::OptionTruncated),
        (&[53, 2, 1, 1], Refusal::OptionLength),
        (&[53, 1, 1, 53, 1, 3], Refusal::OptionLength),
        (&[53, 1, 2], Refusal::MessageType),
        (&[53, 1, 13], Refusal::MessageType),
        (&[53, 1, 3, 50, 3, 1, 2, 3], Refusal::OptionLength),
        (&[53, 1, 3, 54, 0], Refusal::OptionLength),
        (&[53, 1, 3, 61, 1, 1], Refusal::OptionLength),
        (&[53, 1, 3, 82, 0], Refusal::OptionLength),
        (&[53, 1, 1, 52, 1, 4], Refusal::Overload),
        (&[53, 1, 1, 52, 2, 1, 1], Refusal::Overload),
    ] {
        assert_eq!(refusal(&with_options(options)), expected, "{options:?}");
    }
}

#[test]
fn an_option_the_server_does_not_read_hides_none_that_it_does() {
    // dhcproto loses everything after the broken domain search list.
    let options = [
        &[53, 1, 3][..],
        &[119, 3, 0xc0, 0xff, 0xff],
        &[81, 1, 0],
        &[12, 2, 0xff, 0xfe],
        &[50, 4, 10, 0, 0, 9, 255],
    ]
    .concat();

    let request = Request::parse(&with_options(&options)).unwrap();

    assert_eq!(request.requested, Some(Ipv4Addr::new(10, 0, 0, 9)));
}

#[test]
fn split_options_are_joined_and_padding_is_skipped() {
    let mut long = vec![53, 1, 1, 0, 0];
    for part in [[b'a'; 200], [b'b'; 200]] {
        long.extend_from_slice(&[61, 27]);
        long.extend_from_slice(&part[..27]);
    }

    let request = Request::parse(&with_options(&long)).unwrap();

    assert_eq!(request.client_id.map(|id| id.len()), Some(54));

    let mut too_long = vec![53, 1, 1];
    for _ in 0..2 {
        too_long.extend_from_slice(&[61, 200]);
        too_long.extend_from_slice(&[b'a'; 200]);
    }
    assert_eq!(refusal(&with_options(&too_long)), Refusal::OptionLength);
}

#[test]
fn overloaded_fields_are_walked_too_and_cannot_send_the_walk_in_circles() {
    let mut overloaded = with_options(&[53, 1, 3, 52, 1, 3, 255]);
    overloaded[FILE.start..FILE.start + 7].copy_from_slice(&[50, 4, 10, 0, 0, 7, 255]);
    overloaded[SNAME.start..SNAME.start + 5].copy_from_slice(&[61, 2, 9, 9, 255]);

    let request = Request::parse(&overloaded).unwrap();
    assert_eq!(request.requested, Some(Ipv4Addr::new(10, 0, 0, 7)));
    assert_eq!(request.client_id, Some(vec![9, 9]));

    let mut circle = with_options(&[53, 1, 3, 52, 1, 1, 255]);
    circle[FILE.start..FILE.start + 4].copy_from_slice(&[52, 1, 1, 255]);
    assert_eq!(refusal(&circle), Refusal::Overload);

    let mut beyond = with_options(&[53, 1, 3, 52, 1, 2, 255]);
    beyond[SNAME.start..SNAME.start + 2].copy_from_slice(&[12, 200]);
    assert_eq!(refusal(&beyond), Refusal::OptionTruncated);
}

/// What dhcproto reads of an accepted message is what the guard read, wherever dhcproto gets that far.
fn second_opinion(payload: &[u8], request: &Request) {
    let Ok(message) = Message::decode(&mut Decoder::new(payload)) else {
        return;
    };
    assert_eq!(message.xid(), request.xid);
    assert_eq!(message.chaddr(), request.chaddr.0);
    assert_eq!(message.ciaddr(), request.ciaddr);
    assert_eq!(message.giaddr(), request.giaddr);
    let Some(kind) = message.opts().msg_type() else {
        return;
    };
    let label = match kind {
        MessageType::Discover => "discover",
        MessageType::Request => "request",
        MessageType::Decline => "decline",
        MessageType::Release => "release",
        MessageType::Inform => "inform",
        other => panic!("{other:?} was accepted"),
    };
    assert_eq!(label, request.kind.label());
    if let Some(DhcpOption::RequestedIpAddress(address)) = message.opts().get(OptionCode::RequestedIpAddress)
    {
        assert_eq!(Some(*address), request.requested);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..700)) {
        let _any = Request::parse(&payload);
    }

    #[test]
    fn no_options_make_it_panic_or_disagree_with_dhcproto(
        options in proptest::collection::vec((prop_oneof![
            Just(50u8), Just(52), Just(53), Just(54), Just(61), Just(82), Just(0), Just(255), any::<u8>(),
        ], 0u8..9, proptest::collection::vec(any::<u8>(), 0..9)), 0..12),
        changes in proptest::collection::vec((0usize..240, any::<u8>()), 0..3),
    ) {
        let mut written = vec![53, 1, 1];
        for (code, length, content) in options {
            written.push(code);
            written.push(length);
            written.extend_from_slice(&content);
        }
        let mut payload = with_options(&written);
        for (at, value) in changes {
            payload[at] = value;
        }
        if let Ok(request) = Request::parse(&payload) {
            // An end option inside an overloaded field, or a repeated option, is where the two may differ.
            let plain = !written.contains(&52) && !written.windows(2).any(|pair| pair[0] == 255);
            let once = [50, 53].iter().all(|code| written.iter().filter(|octet| *octet == code).count() <= 1);
            // Of bulk leasequery's options (RFC 6926) dhcproto 0.15 asserts the lengths instead of refusing them.
            let asserted = written.iter().any(|octet| (151..=157).contains(octet));
            if plain && once && !asserted {
                second_opinion(&payload, &request);
            }
        }
    }

    #[test]
    fn well_formed_messages_are_read_alike(
        kind in prop_oneof![
            Just(MessageType::Discover), Just(MessageType::Request), Just(MessageType::Decline),
            Just(MessageType::Release), Just(MessageType::Inform),
        ],
        requested in proptest::option::of(any::<u32>()),
        server in proptest::option::of(any::<u32>()),
        id in proptest::option::of(proptest::collection::vec(any::<u8>(), 2..255)),
        name in proptest::option::of("[a-z]{1,20}"),
    ) {
        let mut sent = message(kind);
        let options = sent.opts_mut();
        if let Some(address) = requested {
            options.insert(DhcpOption::RequestedIpAddress(address.into()));
        }
        if let Some(address) = server {
            options.insert(DhcpOption::ServerIdentifier(address.into()));
        }
        if let Some(id) = &id {
            options.insert(DhcpOption::ClientIdentifier(id.clone()));
        }
        if let Some(name) = name {
            options.insert(DhcpOption::Hostname(name));
        }
        let payload = payload(&sent);

        let request = Request::parse(&payload).unwrap();

        second_opinion(&payload, &request);
        prop_assert_eq!(request.requested, requested.map(Ipv4Addr::from));
        prop_assert_eq!(request.server_id, server.map(Ipv4Addr::from));
        prop_assert_eq!(request.client_id, id);
    }
}
