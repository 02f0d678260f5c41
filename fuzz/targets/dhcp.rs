//! A client's DHCP message: the guard does not panic and keeps its promises, and what it has read, written down plainly, reads the
//! same.
//!
//! dhcproto gives no second opinion here, since it asserts where it should refuse: control's property tests ask it where it does not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::dhcp::guard::Kind;
use sluice_fuzz::dhcp::option82::readable;
use sluice_fuzz::dhcp::{RelayInfo, Request};

fuzz_target!(|payload: &[u8]| {
    relay_info(payload);
    let Ok(request) = Request::parse(payload) else {
        return;
    };

    assert!(payload.len() >= 240 && payload[..3] == [1, 1, 6]);
    assert!(request.chaddr.is_unicast());
    assert!(
        request
            .client_id
            .as_ref()
            .is_none_or(|id| (2..=255).contains(&id.len()))
    );
    if let Some(info) = &request.relay_info {
        assert!((1..=255).contains(&info.len()));
        relay_info(info);
    }
    assert_eq!(Request::parse(&plain(&request)).as_ref(), Ok(&request));
});

/// No control character in what is read, and no two values that look alike.
fn relay_info(content: &[u8]) {
    if let Ok(info) = RelayInfo::parse(content) {
        let ids = [&info.circuit_id, &info.remote_id, &info.relay_id];
        for id in ids.into_iter().flatten() {
            assert!(!id.is_empty() && !id.chars().any(char::is_control), "{id:?}");
        }
    }
    let (one, other) = content.split_at(content.len() / 2);
    assert_eq!(
        readable(one) == readable(other),
        one == other,
        "{one:?} {other:?}"
    );
}

/// The message with nothing in it but what was read, each option once and whole.
fn plain(request: &Request) -> Vec<u8> {
    let kind = match request.kind {
        Kind::Discover => 1,
        Kind::Request => 3,
        Kind::Decline => 4,
        Kind::Release => 7,
        Kind::Inform => 8,
    };
    let mut message = vec![1, 1, 6, 0];
    message.extend(request.xid.to_be_bytes());
    message.extend([0; 2]);
    message.extend(request.flags.to_be_bytes());
    message.extend(request.ciaddr.octets());
    message.extend([0; 8]);
    message.extend(request.giaddr.octets());
    message.extend(request.chaddr.0);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, kind]);
    let requested = request.requested.map(|address| address.octets().to_vec());
    let server_id = request.server_id.map(|address| address.octets().to_vec());
    for (code, content) in [
        (50, &requested),
        (54, &server_id),
        (61, &request.client_id),
        (82, &request.relay_info),
    ] {
        if let Some(content) = content {
            message.extend([code, content.len() as u8]);
            message.extend(content);
        }
    }
    message.push(255);
    message
}
