//! Wrong files, each with the line that must be named (marked `# <-` in the text), the key, and what must be said of it.
//! Each file has exactly one problem: a mistake is reported once, not again by every check that stumbles over it.

use sluice_config::{Config, ConfigError, Problem, Subscribers};

/// What is wrong (for the failing test's name), the text, the key, part of the message.
type Case = (&'static str, &'static str, &'static str, &'static str);

const PORTS: &str = r#"
[[ports]]
name = "access0"
role = "access"
device = "net_tap0"
mac = "02:00:5e:00:01:01"
lines = [{ s_vlans = "100-109", c_vlans = "1-4094" }]
[[ports]]
name = "core0"
role = "core"
device = "net_tap1"
mac = "02:00:5e:00:02:01"
address = "192.0.2.2/24"
gateway = "192.0.2.1"
"#;

const ACCESS: &str = r#"
[[ports]]
name = "access0"
role = "access"
device = "net_tap0"
mac = "02:00:5e:00:01:01"
lines = [{ s_vlans = "100-109", c_vlans = "1-4094" }]
"#;

const CORE: &str = r#"
[[ports]]
name = "core0"
role = "core"
device = "net_tap1"
mac = "02:00:5e:00:02:01"
address = "192.0.2.2/24"
gateway = "192.0.2.1"
"#;

const POOLS: &str = r#"
[pools.wgar]
network = "10.255.0.0/16"
"#;

/// Adds to a snippet what every file must have and this one is not about.
fn whole(snippet: &str) -> String {
    let has = |part: &str| snippet.contains(part);
    let ports = match (has("role = \"access\""), has("role = \"core\"")) {
        _ if has("no ports") => "",
        (false, false) => PORTS,
        (true, false) => CORE,
        (false, true) => ACCESS,
        (true, true) => "",
    };
    let pools = if has("pools") { "" } else { POOLS };
    format!("{snippet}\n{ports}\n{pools}")
}

fn problems(result: Result<impl std::fmt::Debug, ConfigError>, name: &str) -> Vec<Problem> {
    match result {
        Ok(config) => panic!("{name}: accepted as {config:?}"),
        Err(error) => error.problems().to_vec(),
    }
}

fn judge((name, text, key, says): &Case, found: &[Problem]) {
    let lines = text.lines().zip(1..);
    let marked = lines
        .filter(|(line, _)| line.contains("<-"))
        .map(|(_, number)| number);
    let marked: Vec<usize> = marked.collect();
    let listed = found
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(marked.len(), 1, "{name}: the case marks one line");
    assert_eq!(found.len(), 1, "{name}: one problem expected, found\n{listed}");

    let problem = &found[0];

    assert_eq!(problem.line, marked[0], "{name}: {listed}");
    assert_eq!(problem.key, *key, "{name}: {listed}");
    assert!(
        problem.to_string().contains(says),
        "{name}: {says:?} is not said in: {listed}"
    );
}

#[test]
fn every_wrong_configuration_is_refused_with_its_line_and_key() {
    for case in DOCUMENTS
        .iter()
        .chain(VALUES)
        .chain(PORT_CASES)
        .chain(POOL_CASES)
        .chain(POLICY_CASES)
    {
        let found = problems(Config::parse("sluice.toml", &whole(case.1)), case.0);
        judge(case, &found);
    }
}

#[test]
fn every_wrong_subscribers_file_is_refused_with_its_line_and_key() {
    let config = Config::parse("sluice.toml", &whole("")).unwrap();
    for case in SUBSCRIBER_CASES {
        let found = problems(Subscribers::parse("subscribers.toml", case.1, &config), case.0);
        judge(case, &found);
    }
}

#[test]
fn the_tables_are_as_large_as_they_claim() {
    let tables = [
        DOCUMENTS,
        VALUES,
        PORT_CASES,
        POOL_CASES,
        POLICY_CASES,
        SUBSCRIBER_CASES,
    ];

    assert!(tables.iter().map(|table| table.len()).sum::<usize>() >= 120);
}

/// The document itself: syntax, keys, types.
const DOCUMENTS: &[Case] = &[
    (
        "a text that never ends",
        "[node]\nid = \"bng # <-",
        "",
        "syntax error",
    ),
    ("a key without a value", "[node]\nid = # <-", "", "syntax error"),
    (
        "a key written twice",
        "[node]\nid = \"a\"\nid = \"b\" # <-",
        "",
        "duplicate key",
    ),
    (
        "a table written twice",
        "[node]\nid = \"a\"\n[node] # <-",
        "",
        "duplicate key",
    ),
    (
        "an unknown table",
        "[wroker] # <-\nidle = \"poll\"",
        "wroker",
        "did you mean `worker`?",
    ),
    (
        "a table of another program",
        "[telemetry] # <-",
        "telemetry",
        "known are node, limits",
    ),
    (
        "a slip in a key",
        "[node]\nrun_dri = \"/run\" # <-",
        "node.run_dri",
        "did you mean `run_dir`?",
    ),
    (
        "a key without its unit",
        "[dhcp]\noffer = 60 # <-",
        "dhcp.offer",
        "did you mean `offer_seconds`?",
    ),
    (
        "a key that never was",
        "[worker]\ncolour = 1 # <-",
        "worker.colour",
        "known are idle, burst, mbufs, spread",
    ),
    (
        "a key of a nested table",
        "[aaa.local]\nfile = \"s.toml\"\nfiel = 1 # <-",
        "aaa.local.fiel",
        "`file`",
    ),
    (
        "a value where a table belongs",
        "node = 1 # <-",
        "node",
        "is a number where a table belongs",
    ),
    (
        "a table where a list belongs",
        "[ports] # <-\nno = \"ports\" # no ports",
        "ports",
        "list of tables",
    ),
    (
        "a number where a text belongs",
        "[node]\nid = 7 # <-",
        "node.id",
        "is a number where a name in quotes belongs",
    ),
    (
        "a text where a number belongs",
        "[worker]\nburst = \"32\" # <-",
        "worker.burst",
        "where a whole number belongs",
    ),
    (
        "a fraction where a number belongs",
        "[worker]\nburst = 1.5 # <-",
        "worker.burst",
        "is a fraction",
    ),
    (
        "a word where a list belongs",
        "[dhcp]\nrelays = \"192.0.2.67\" # <-",
        "dhcp.relays",
        "a list in [ ]",
    ),
    (
        "a number too long for any type",
        "[worker]\nburst = 99999999999999999999999999999999999999999 # <-",
        "worker.burst",
        "no number this file can mean",
    ),
];

/// Single values of the smaller tables.
const VALUES: &[Case] = &[
    ("an empty name", "[node]\nid = \"\" # <-", "node.id", "is empty"),
    (
        "a name with a slash",
        "[node]\nid = \"bng/01\" # <-",
        "node.id",
        "contains '/'",
    ),
    (
        "a name that begins with a dot",
        "[node]\nid = \".bng\" # <-",
        "node.id",
        "contains '.'",
    ),
    (
        "a name too long for a label",
        "[node]\nid = \"a123456789b123456789c123456789d12\" # <-",
        "node.id",
        "33 characters long, at most 32",
    ),
    (
        "a segment name that DPDK would delete",
        "[node]\nid = \"sluicemap_0\" # <-",
        "node.id",
        "DPDK deletes",
    ),
    (
        "an empty directory",
        "[node]\nrun_dir = \"\" # <-",
        "node.run_dir",
        "is empty",
    ),
    (
        "a directory with a NUL",
        "[node]\nstate_dir = \"/a\\u0000b\" # <-",
        "node.state_dir",
        "NUL",
    ),
    (
        "a relative mount",
        "[node]\nhugetlbfs = \"hugepages\" # <-",
        "node.hugetlbfs",
        "\"/dev/hugepages\"",
    ),
    (
        "a socket path longer than the kernel takes",
        "[node]\nrun_dir = \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" # <-\n[olt]\nsocket = \"\"",
        "node.run_dir",
        "at most 107",
    ),
    (
        "sessions that are no power of two",
        "[limits]\nsessions = 1000 # <-",
        "limits.sessions",
        "512 or 1024 would be",
    ),
    (
        "too many sessions",
        "[limits]\nsessions = 2097152 # <-",
        "limits.sessions",
        "outside 64..=1048576 rows",
    ),
    (
        "too few second-level groups",
        "[limits]\nsessions = 65536\ntbl8_groups = 100 # <-",
        "limits.tbl8_groups",
        "at least 256",
    ),
    (
        "no lcores",
        "[limits]\nlcores = 0 # <-",
        "limits.lcores",
        "outside 1..=64 lcores",
    ),
    (
        "a negative size",
        "[limits]\nadjacencies = -1 # <-",
        "limits.adjacencies",
        "is -1, outside",
    ),
    (
        "more profiles than a policy word can name",
        "[limits]\npolicer_profiles = 65537 # <-",
        "limits.policer_profiles",
        "outside 2..=65536",
    ),
    (
        "a punt ring of odd size",
        "[limits]\npunt_ring_slots = 1000 # <-",
        "limits.punt_ring_slots",
        "512 or 1024",
    ),
    (
        "an idle mode that does not exist",
        "[worker]\nidle = \"adaptative\" # <-",
        "worker.idle",
        "did you mean \"adaptive\"?",
    ),
    (
        "a spread that does not exist",
        "[worker]\nspread = \"rss\" # <-",
        "worker.spread",
        "allowed are \"auto\", \"nic\", \"software\"",
    ),
    (
        "a burst beyond the lanes",
        "[worker]\nburst = 1024 # <-",
        "worker.burst",
        "outside 4..=256 packets",
    ),
    (
        "no buffers",
        "[worker]\nmbufs = 0 # <-",
        "worker.mbufs",
        "buffers",
    ),
    (
        "bursts measured too rarely to be seen",
        "[worker]\nmeasure_one_in = 1000001 # <-",
        "worker.measure_one_in",
        "outside 0..=1000000 bursts",
    ),
    (
        "a punt rate of zero",
        "[punt]\nline_pps = 0 # <-",
        "punt.line_pps",
        "packets per second",
    ),
    (
        "a punt burst of zero",
        "[punt]\narp_burst = 0 # <-",
        "punt.arp_burst",
        "outside 1..=1000000",
    ),
    (
        "an identity with an unknown field",
        "[identity]\ntemplate = \"{circuitid}\" # <-",
        "identity.template",
        "fields are {circuit_id}",
    ),
    (
        "an identity with an open brace",
        "[identity]\ntemplate = \"{circuit_id\" # <-",
        "identity.template",
        "brace",
    ),
    (
        "an identity that many lines share",
        "[identity]\ntemplate = \"{port}/{s_vlan}\" # <-",
        "identity.template",
        "many lines the same identity",
    ),
    (
        "an empty identity",
        "[identity]\ntemplate = \"\" # <-",
        "identity.template",
        "many lines the same identity",
    ),
    (
        "a listen address without a port",
        "[rest]\nlisten = \"127.0.0.1\" # <-",
        "rest.listen",
        "127.0.0.1:8080",
    ),
    (
        "a listen address for the world",
        "[rest]\nlisten = \"0.0.0.0:8080\" # <-",
        "rest.listen",
        "has no TLS",
    ),
    (
        "an IPv6 listen address for the world",
        "[rest]\nlisten = \"[::]:8080\" # <-",
        "rest.listen",
        "has no TLS",
    ),
    (
        "no host accepted",
        "[rest]\nhosts = [] # <-",
        "rest.hosts",
        "no TCP request could be accepted",
    ),
    (
        "an empty host in the list",
        "[rest]\nhosts = [\"localhost\", \"\"] # <-",
        "rest.hosts[1]",
        "is empty",
    ),
    (
        "a group with a space",
        "[rest]\nsocket_group = \"net admins\" # <-",
        "rest.socket_group",
        "contains ' '",
    ),
    (
        "a local AAA table without its file",
        "[aaa.local] # <-",
        "aaa.local.file",
        "is missing; add the path",
    ),
];

const PORT_CASES: &[Case] = &[
    (
        "no ports at all",
        "# no ports <-",
        "ports",
        "is missing; add [[ports]]",
    ),
    (
        "no core port",
        "[[ports]] # <-\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\" # no ports",
        "ports",
        "no port with role \"core\"",
    ),
    (
        "no access port",
        "[[ports]] # <- no ports\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"",
        "ports",
        "no port with role \"access\"",
    ),
    (
        "a port without a role",
        "[[ports]] # <-\nname = \"x\"\ndevice = \"d\"\nmac = \"02:00:5e:00:02:01\"",
        "ports[0].role",
        "\"access\" (faces subscribers)",
    ),
    (
        "a role that does not exist",
        "[[ports]]\nname = \"x\"\ndevice = \"d\"\nmac = \"02:00:5e:00:02:01\"\nrole = \"acess\" # <-",
        "ports[0].role",
        "did you mean \"access\"?",
    ),
    (
        "a port without a name",
        "[[ports]] # <-\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\"",
        "ports[0].name",
        "is missing",
    ),
    (
        "a port without a device",
        "[[ports]] # <-\nname = \"access0\"\nrole = \"access\"\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\"",
        "ports[0].device",
        "PCI address",
    ),
    (
        "a port without a MAC",
        "[[ports]] # <-\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\ntagging = \"untagged\"",
        "ports[0].mac",
        "02:00:5e:00:01:01",
    ),
    (
        "a MAC of five octets",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\ntagging = \"untagged\"\nmac = \"02:00:5e:00:01\" # <-",
        "ports[0].mac",
        "no Ethernet address",
    ),
    (
        "a multicast MAC",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\ntagging = \"untagged\"\nmac = \"01:00:5e:00:01:01\" # <-",
        "ports[0].mac",
        "group address",
    ),
    (
        "a MAC of zeros",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\ntagging = \"untagged\"\nmac = \"00:00:00:00:00:00\" # <-",
        "ports[0].mac",
        "02:00:5e:00:01:01",
    ),
    (
        "an MTU no IPv4 host may have",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\ntagging = \"untagged\"\nmac = \"02:00:5e:00:01:01\"\nmtu = 68 # <-",
        "ports[0].mtu",
        "outside 576..=9600",
    ),
    (
        "no queues",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\ntagging = \"untagged\"\nmac = \"02:00:5e:00:01:01\"\nqueues = 0 # <-",
        "ports[0].queues",
        "outside 1..=64",
    ),
    (
        "a tagging that does not exist",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\ntagging = \"q-in-q\" # <-\nmac = \"02:00:5e:00:01:01\"\nlines = [{ s_vlans = \"1\", c_vlans = \"1\" }]",
        "ports[0].tagging",
        "did you mean \"qinq\"?",
    ),
    (
        "a tag protocol id that is IPv4's",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nouter_tpids = [0x88a8, 0x0800] # <-\nmac = \"02:00:5e:00:01:01\"\nlines = [{ s_vlans = \"1\", c_vlans = \"1\" }]",
        "ports[0].outer_tpids[1]",
        "has 0x0800",
    ),
    (
        "a tag protocol id as text",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nouter_tpid_tx = \"0x88a8\" # <-\nmac = \"02:00:5e:00:01:01\"\nlines = [{ s_vlans = \"1\", c_vlans = \"1\" }]",
        "ports[0].outer_tpid_tx",
        "a text where a whole number belongs",
    ),
    (
        "no tag protocol ids",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nouter_tpids = [] # <-\nmac = \"02:00:5e:00:01:01\"\nlines = [{ s_vlans = \"1\", c_vlans = \"1\" }]",
        "ports[0].outer_tpids",
        "no tagged frame",
    ),
    (
        "tag protocol ids without tags",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nouter_tpids = [0x88a8] # <-\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\"",
        "ports[0].outer_tpids",
        "an untagged port has no",
    ),
    (
        "a policy for Option 82 that does not exist",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\noption82 = \"trust\" # <-\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\"",
        "ports[0].option82",
        "did you mean \"trusted\"?",
    ),
    (
        "an address on an access port",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\naddress = \"192.0.2.9/24\" # <-\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\"",
        "ports[0].address",
        "belongs to core ports",
    ),
    (
        "lines on a core port",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\noption82 = \"trusted\" # <-",
        "ports[0].option82",
        "belongs to access ports",
    ),
    (
        "a tagged port without lines",
        "[[ports]] # <-\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"",
        "ports[0].lines",
        "is missing; add [[ports.lines]]",
    ),
    (
        "lines without S-VLANs",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\n[[ports.lines]] # <-\nc_vlans = \"1\"",
        "ports[0].lines[0].s_vlans",
        "is missing",
    ),
    (
        "S-VLANs on a single-tagged port",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\ntagging = \"single\"\n[[ports.lines]]\ns_vlans = \"100\" # <-\nc_vlans = \"1\"",
        "ports[0].lines[0].s_vlans",
        "only ports with tagging \"qinq\"",
    ),
    (
        "S-VLAN zero",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\n[[ports.lines]]\ns_vlans = \"0-9\" # <-\nc_vlans = \"1\"",
        "ports[0].lines[0].s_vlans",
        "VLAN id 0 is outside 1..=4094",
    ),
    (
        "C-VLAN 4095",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\n[[ports.lines]]\ns_vlans = 100\nc_vlans = \"1-4095\" # <-",
        "ports[0].lines[0].c_vlans",
        "VLAN id 4095 is outside",
    ),
    (
        "VLANs backwards",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\n[[ports.lines]]\ns_vlans = \"109-100\" # <-\nc_vlans = \"1\"",
        "ports[0].lines[0].s_vlans",
        "109-100 runs backwards",
    ),
    (
        "VLANs that are words",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\n[[ports.lines]]\ns_vlans = \"all\" # <-\nc_vlans = \"1\"",
        "ports[0].lines[0].s_vlans",
        "\"all\" is no VLAN id",
    ),
    (
        "a line model that does not exist",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\n[[ports.lines]]\ns_vlans = \"1\"\nc_vlans = \"1\"\nmodel = \"1:n\" # <-",
        "ports[0].lines[0].model",
        "allowed are \"1:1\", \"n:1\"",
    ),
    (
        "one line claimed twice",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\n[[ports.lines]]\ns_vlans = \"100-109\"\nc_vlans = \"1-100\"\n[[ports.lines]] # <-\ns_vlans = \"105\"\nc_vlans = \"100-200\"",
        "ports[0].lines[1]",
        "claims line 105.100 a second time; ports[0].lines[0] has it",
    ),
    (
        "an S-VLAN with two models",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\n[[ports.lines]]\ns_vlans = \"100-109\"\nc_vlans = \"1-100\"\n[[ports.lines]] # <-\ns_vlans = \"109\"\nc_vlans = \"101\"\nmodel = \"n:1\"",
        "ports[0].lines[1]",
        "gives S-VLAN 109 a second model",
    ),
    (
        "two lines of an untagged port",
        "[[ports]]\nname = \"access0\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\"\n[[ports.lines]]\nmodel = \"n:1\"\n[[ports.lines]] # <-\nmodel = \"1:1\"",
        "ports[0].lines[1]",
        "claims line untagged a second time",
    ),
    (
        "two ports of one name",
        "[[ports]]\nname = \"p\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\"\n[[ports]]\nname = \"p\" # <-\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"",
        "ports[1].name",
        "which ports[0] is called already",
    ),
    (
        "two access ports claiming one device",
        "[[ports]]\nname = \"a\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmac = \"02:00:5e:00:01:01\"\ntagging = \"untagged\"\n[[ports]]\nname = \"b\"\nrole = \"access\"\ndevice = \"net_tap0\" # <-\nmac = \"02:00:5e:00:01:02\"\ntagging = \"untagged\"",
        "ports[1].device",
        "which port a uses already",
    ),
    (
        "a core port without an address",
        "[[ports]] # <-\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"",
        "ports[0].address",
        "is missing",
    ),
    (
        "a core address without a length",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2\" # <-",
        "ports[0].address",
        "no IPv4 prefix",
    ),
    (
        "a core address that is the network's",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.0/24\" # <-",
        "ports[0].address",
        "no host's address in 192.0.2.0/24",
    ),
    (
        "a core address inside a pool",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"10.255.3.4/24\" # <-",
        "ports[0].address",
        "overlaps pools.wgar.network 10.255.0.0/16",
    ),
    (
        "core networks that overlap",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\n[[ports]]\nname = \"core1\"\nrole = \"core\"\ndevice = \"net_tap2\"\nmac = \"02:00:5e:00:02:02\"\naddress = \"192.0.2.130/25\" # <-",
        "ports[1].address",
        "overlaps ports[0].address 192.0.2.0/24",
    ),
    (
        "a gateway out of reach",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\ngateway = \"192.0.3.1\" # <-",
        "ports[0].gateway",
        "outside this port's network 192.0.2.0/24",
    ),
    (
        "a gateway that is the port itself",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\ngateway = \"192.0.2.2\" # <-",
        "ports[0].gateway",
        "this gateway's own address",
    ),
    (
        "a gateway that is the broadcast address",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\ngateway = \"192.0.2.255\" # <-",
        "ports[0].gateway",
        "no host's address",
    ),
    (
        "two default routes",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\ngateway = \"192.0.2.1\"\n[[ports]]\nname = \"core1\"\nrole = \"core\"\ndevice = \"net_tap2\"\nmac = \"02:00:5e:00:02:02\"\naddress = \"198.51.100.2/24\"\ngateway = \"198.51.100.1\" # <-",
        "ports[1].gateway",
        "second default route; ports[0].gateway is one",
    ),
    (
        "a route without a next hop",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\n[[ports.routes]] # <-\nprefix = \"203.0.113.0/24\"",
        "ports[0].routes[0].via",
        "is missing; add the next hop",
    ),
    (
        "a route with host bits",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\n[[ports.routes]]\nprefix = \"203.0.113.7/24\" # <-\nvia = \"192.0.2.3\"",
        "ports[0].routes[0].prefix",
        "you may mean 203.0.113.0/24",
    ),
    (
        "a next hop out of reach",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\n[[ports.routes]]\nprefix = \"203.0.113.0/24\"\nvia = \"203.0.113.1\" # <-",
        "ports[0].routes[0].via",
        "could not be reached",
    ),
    (
        "a route into a pool",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\n[[ports.routes]]\nprefix = \"10.255.7.0/24\" # <-\nvia = \"192.0.2.3\"",
        "ports[0].routes[0].prefix",
        "overlaps pools.wgar.network",
    ),
    (
        "one prefix routed twice",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\nroutes = [{ prefix = \"203.0.113.0/24\", via = \"192.0.2.3\" },\n{ prefix = \"203.0.113.0/24\", via = \"192.0.2.4\" }] # <-",
        "ports[0].routes[1].prefix",
        "which ports[0].routes[0].prefix routes already",
    ),
    (
        "a route to the port's own network",
        "[[ports]]\nname = \"core0\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmac = \"02:00:5e:00:02:01\"\naddress = \"192.0.2.2/24\"\n[[ports.routes]]\nprefix = \"192.0.2.0/24\" # <-\nvia = \"192.0.2.3\"",
        "ports[0].routes[0].prefix",
        "which ports[0].address routes already",
    ),
];

const POOL_CASES: &[Case] = &[
    (
        "no pools",
        "[node] # no pools <-",
        "pools",
        "at least one [pools.NAME]",
    ),
    (
        "a pool without a network",
        "[pools.wgar] # <-\ngateway = \"10.255.0.1\"",
        "pools.wgar.network",
        "is missing",
    ),
    (
        "a slip in a pool's key",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ngatway = \"10.255.0.1\" # <-",
        "pools.wgar.gatway",
        "did you mean `gateway`?",
    ),
    (
        "a pool's name with a space",
        "[pools.\"my pool\"] # <-\nnetwork = \"10.255.0.0/16\"",
        "pools.my pool",
        "contains ' '",
    ),
    (
        "a network with host bits",
        "[pools.wgar]\nnetwork = \"10.255.0.1/16\" # <-",
        "pools.wgar.network",
        "you may mean 10.255.0.0/16",
    ),
    (
        "a network of IPv6",
        "[pools.wgar]\nnetwork = \"2001:db8::/32\" # <-",
        "pools.wgar.network",
        "no IPv4 prefix",
    ),
    (
        "a prefix of 33 bits",
        "[pools.wgar]\nnetwork = \"10.255.0.0/33\" # <-",
        "pools.wgar.network",
        "no IPv4 prefix",
    ),
    (
        "a network too small for anyone",
        "[pools.wgar]\nnetwork = \"10.255.0.0/31\" # <-",
        "pools.wgar.network",
        "is /31, outside /8..=/30",
    ),
    (
        "a network of multicast",
        "[pools.wgar]\nnetwork = \"224.0.0.0/16\" # <-\ngateway = \"224.0.0.1\"\n[dhcp]\nserver_id = \"192.0.2.2\"",
        "pools.wgar.network",
        "no host can have",
    ),
    (
        "a network reserved for ever",
        "[pools.wgar]\nnetwork = \"240.0.0.0/16\" # <-\n[dhcp]\nserver_id = \"192.0.2.2\"",
        "pools.wgar.network",
        "no host can have",
    ),
    (
        "pools that overlap",
        "[pools.a]\nnetwork = \"10.0.0.0/12\"\n[pools.b]\nnetwork = \"10.8.0.0/16\" # <-\n[sessions]\nunknown_pool = \"a\"",
        "pools.b.network",
        "overlaps pools.a.network 10.0.0.0/12",
    ),
    (
        "a gateway elsewhere",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ngateway = \"10.254.0.1\" # <-",
        "pools.wgar.gateway",
        "outside the pool's network 10.255.0.0/16",
    ),
    (
        "a gateway that is the network's address",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ngateway = \"10.255.0.0\" # <-\n[dhcp]\nserver_id = \"192.0.2.2\"",
        "pools.wgar.gateway",
        "no host's address",
    ),
    (
        "a gateway that is no address",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ngateway = \"10.255.0\" # <-",
        "pools.wgar.gateway",
        "write four numbers",
    ),
    (
        "a lease longer than its binding",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\nbinding_seconds = 300\nlease_seconds = 600 # <-",
        "pools.wgar.lease_seconds",
        "600 s against 300 s; at most 300",
    ),
    (
        "a binding of no time",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\nbinding_seconds = 0 # <-",
        "pools.wgar.binding_seconds",
        "outside 1..=315360000 seconds",
    ),
    (
        "a lease that means for ever",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\nlease_seconds = 4294967295 # <-",
        "pools.wgar.lease_seconds",
        "outside 1..=315360000",
    ),
    (
        "an exclusion elsewhere",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\nexclude = [\"10.255.0.0/24\", \"10.254.0.0-10.255.0.9\"] # <-",
        "pools.wgar.exclude[1]",
        "not wholly inside",
    ),
    (
        "an exclusion backwards",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\nexclude = [\"10.255.0.9-10.255.0.1\"] # <-",
        "pools.wgar.exclude[0]",
        "no range of IPv4 addresses",
    ),
    (
        "a pool with everything excluded",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\nexclude = [\"10.255.0.0/16\"] # <-",
        "pools.wgar.exclude",
        "leaves no address",
    ),
    (
        "a DNS server that is a name",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ndns = [\"dns.example\"] # <-",
        "pools.wgar.dns[0]",
        "no IPv4 address",
    ),
    (
        "a DNS server that is a broadcast",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ndns = [\"255.255.255.255\"] # <-",
        "pools.wgar.dns[0]",
        "no host can have",
    ),
    (
        "a DNS server a subscriber could become",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ndns = [\"10.255.0.53\"] # <-",
        "pools.wgar.dns[0]",
        "add it to pools.wgar.exclude",
    ),
    (
        "more DNS servers than an offer carries",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ndns = [\"9.0.0.1\", \"9.0.0.2\", \"9.0.0.3\", \"9.0.0.4\", \"9.0.0.5\", \"9.0.0.6\", \"9.0.0.7\", \"9.0.0.8\", \"9.0.0.9\"] # <-",
        "pools.wgar.dns",
        "has 9 entries, more than 8",
    ),
    (
        "a server id a subscriber could get",
        "[dhcp]\nserver_id = \"10.255.0.2\" # <-",
        "dhcp.server_id",
        "add it to pools.wgar.exclude",
    ),
    (
        "a server id that is a broadcast address",
        "[dhcp]\nserver_id = \"10.255.255.255\" # <-",
        "dhcp.server_id",
        "no host's address in 10.255.0.0/16",
    ),
    (
        "a server id on the loopback",
        "[dhcp]\nserver_id = \"127.0.0.1\" # <-",
        "dhcp.server_id",
        "no host can have",
    ),
    (
        "a lease of no time",
        "[dhcp]\ndefault_lease_seconds = 0 # <-",
        "dhcp.default_lease_seconds",
        "outside 1..=",
    ),
    (
        "offers without end",
        "[dhcp]\noffers_per_line = 100000 # <-",
        "dhcp.offers_per_line",
        "outside 1..=256",
    ),
    (
        "a policy that does not exist",
        "[dhcp]\naaa_timeout_policy = \"last_known\" # <-",
        "dhcp.aaa_timeout_policy",
        "did you mean \"last-known\"?",
    ),
    (
        "relays without a pool",
        "[dhcp] # <-\nrelays = [\"192.0.2.67\"]",
        "dhcp.relay_pool",
        "is missing",
    ),
    (
        "a relay pool that does not exist",
        "[dhcp]\nrelays = [\"192.0.2.67\"]\nrelay_pool = \"wgra\" # <-",
        "dhcp.relay_pool",
        "did you mean \"wgar\"?",
    ),
    (
        "a relay that a subscriber could become",
        "[dhcp]\nrelays = [\"192.0.2.67\", \"10.255.9.9\"] # <-\nrelay_pool = \"wgar\"",
        "dhcp.relays[1]",
        "could give to a subscriber",
    ),
];

/// Sessions and gardens.
const POLICY_CASES: &[Case] = &[
    (
        "no answer to which pool strangers get",
        "[sessions] # <-\n[pools.a]\nnetwork = \"10.0.0.0/16\"\n[pools.b]\nnetwork = \"10.1.0.0/16\"",
        "sessions.unknown_pool",
        "none is called \"wgar\"",
    ),
    (
        "a pool of strangers that does not exist",
        "[sessions]\nunknown_pool = \"wger\" # <-",
        "sessions.unknown_pool",
        "no such pool exists; did you mean \"wgar\"?",
    ),
    (
        "a suspended pool that does not exist",
        "[sessions]\nsuspended_pool = \"debtors\" # <-",
        "sessions.suspended_pool",
        "known are wgar",
    ),
    (
        "a garden that does not exist",
        "[sessions]\nunactivated_garden = \"eden\" # <-",
        "sessions.unactivated_garden",
        "no such garden exists; known are suspended",
    ),
    (
        "subscribers that are bridged",
        "[sessions]\nsubscriber_to_subscriber = \"bridged\" # <-",
        "sessions.subscriber_to_subscriber",
        "\"routed\", \"dropped\"",
    ),
    (
        "an idle time of a century",
        "[sessions]\nidle_timeout_seconds = 3155760000 # <-",
        "sessions.idle_timeout_seconds",
        "outside 0..=2592000",
    ),
    (
        "a permit without a destination",
        "[[gardens.unactivated.permit]] # <-\nprotocol = \"tcp\"",
        "gardens.unactivated.permit[0].destination",
        "is missing",
    ),
    (
        "a permit without a protocol",
        "[[gardens.unactivated.permit]] # <-\ndestination = \"198.51.100.80/32\"",
        "gardens.unactivated.permit[0].protocol",
        "\"tcp\", \"udp\", \"icmp\" or \"any\"",
    ),
    (
        "a protocol of its own",
        "[[gardens.unactivated.permit]]\ndestination = \"198.51.100.80/32\"\nprotocol = \"gre\" # <-",
        "gardens.unactivated.permit[0].protocol",
        "allowed are",
    ),
    (
        "ports of icmp",
        "[[gardens.unactivated.permit]]\ndestination = \"198.51.100.80/32\"\nprotocol = \"icmp\"\nports = \"80\" # <-",
        "gardens.unactivated.permit[0].ports",
        "only tcp and udp have ports",
    ),
    (
        "port zero",
        "[[gardens.unactivated.permit]]\ndestination = \"198.51.100.80/32\"\nprotocol = \"tcp\"\nports = \"0-80\" # <-",
        "gardens.unactivated.permit[0].ports",
        "no list of ports in 1..=65535",
    ),
    (
        "ports backwards",
        "[[gardens.unactivated.permit]]\ndestination = \"198.51.100.80/32\"\nprotocol = \"tcp\"\nports = \"90-80\" # <-",
        "gardens.unactivated.permit[0].ports",
        "80,443,8000-8010",
    ),
    (
        "a port beyond sixteen bits",
        "[[gardens.unactivated.permit]]\ndestination = \"198.51.100.80/32\"\nprotocol = \"tcp\"\nports = 65536 # <-",
        "gardens.unactivated.permit[0].ports",
        "\"65536\"",
    ),
    (
        "DNS to any host",
        "[[gardens.unactivated.permit]]\ndestination = \"0.0.0.0/0\" # <-\nprotocol = \"udp\"\nports = \"53\"",
        "gardens.unactivated.permit[0].destination",
        "it is a hole, not a garden",
    ),
    (
        "a garden without the pool's DNS server",
        "[pools.wgar]\nnetwork = \"10.255.0.0/16\"\ndns = [\"8.8.8.8\"]\n[[gardens.unactivated.permit]] # <-\ndestination = \"8.8.8.8/32\"\nprotocol = \"tcp\"\nports = \"53\"",
        "gardens.unactivated",
        "does not permit DNS (udp/53) to 8.8.8.8, which pool wgar tells",
    ),
    (
        "more rules than the segment holds",
        "[limits]\ngarden_rules = 2\n[[gardens.unactivated.permit]] # <-\ndestination = \"198.51.100.80/32\"\nprotocol = \"tcp\"\nports = \"80,443,8080\"",
        "gardens",
        "need 3 rules, more than limits.garden_rules = 2",
    ),
    (
        "a slip in a permit",
        "[[gardens.unactivated.permit]]\ndestination = \"198.51.100.80/32\"\nprotocol = \"tcp\"\nport = \"80\" # <-",
        "gardens.unactivated.permit[0].port",
        "did you mean `ports`?",
    ),
    (
        "permits under a plural",
        "[[gardens.unactivated.permits]] # <-\ndestination = \"198.51.100.80/32\"\nprotocol = \"tcp\"",
        "gardens.unactivated.permits",
        "did you mean `permit`?",
    ),
];

const SUBSCRIBER_CASES: &[Case] = &[
    (
        "an unknown table",
        "[[subscribers]] # <-\npool = \"wgar\"",
        "subscribers",
        "did you mean `subscriber`?",
    ),
    (
        "a pool that does not exist",
        "[[subscriber]]\nont_serial = \"A\"\npool = \"wgarr\" # <-",
        "subscriber[0].pool",
        "no such pool exists; did you mean \"wgar\"?",
    ),
    (
        "a subscriber without a pool",
        "[[subscriber]] # <-\nont_serial = \"A\"",
        "subscriber[0].pool",
        "is missing",
    ),
    (
        "a subscriber without a key",
        "[[subscriber]] # <-\npool = \"wgar\"",
        "subscriber[0].ont_serial",
        "circuit_id instead",
    ),
    (
        "a subscriber with two keys",
        "[[subscriber]]\nont_serial = \"A\"\ncircuit_id = \"agg-01|1/1/1\" # <-\npool = \"wgar\"",
        "subscriber[0].circuit_id",
        "keep one",
    ),
    (
        "a serial listed twice",
        "[[subscriber]]\nont_serial = \"A\"\npool = \"wgar\"\n[[subscriber]]\nont_serial = \"A\" # <-\npool = \"wgar\"",
        "subscriber[1].ont_serial",
        "which subscriber[0] has already",
    ),
    (
        "a serial with a line break",
        "[[subscriber]]\nont_serial = \"A\\n\" # <-\npool = \"wgar\"",
        "subscriber[0].ont_serial",
        "printable ASCII",
    ),
    (
        "a rate no policer can hold",
        "[[subscriber]]\nont_serial = \"A\"\npool = \"wgar\"\nqos_download_bps = 999 # <-\nqos_upload_bps = 1000",
        "subscriber[0].qos_download_bps",
        "outside 1000..=400000000000 bit/s",
    ),
    (
        "a rate faster than any port",
        "[[subscriber]]\nont_serial = \"A\"\npool = \"wgar\"\nqos_download_bps = 1000\nqos_upload_bps = 400000000001 # <-",
        "subscriber[0].qos_upload_bps",
        "outside 1000..=400000000000 bit/s",
    ),
    (
        "a rate in one direction only",
        "[[subscriber]] # <-\nont_serial = \"A\"\npool = \"wgar\"\nqos_download_bps = 1000000",
        "subscriber[0].qos_upload_bps",
        "is missing although qos_download_bps is given",
    ),
    (
        "a state nobody begins in",
        "[[subscriber]]\nont_serial = \"A\"\npool = \"wgar\"\nstate = \"terminated\" # <-",
        "subscriber[0].state",
        "\"active\", \"wgar\", \"suspended\"",
    ),
    (
        "a slip in a key",
        "[[subscriber]]\nont_serial = \"A\"\npool = \"wgar\"\nqos_dwnload_bps = 1000 # <-",
        "subscriber[0].qos_dwnload_bps",
        "did you mean `qos_download_bps`?",
    ),
    (
        "a rule for a port that does not exist",
        "[[rule]]\nport = \"acess0\" # <-\npool = \"wgar\"",
        "rule[0].port",
        "did you mean \"access0\"?",
    ),
    (
        "a rule for a core port",
        "[[rule]]\nport = \"core0\" # <-\npool = \"wgar\"",
        "rule[0].port",
        "no access port has this name",
    ),
    (
        "a rule with wrong VLANs",
        "[[rule]]\ns_vlans = \"100-5000\" # <-\npool = \"wgar\"",
        "rule[0].s_vlans",
        "5000 is outside",
    ),
    (
        "a rule below one that matches all",
        "[[rule]]\nname = \"all\"\npool = \"wgar\"\n[[rule]] # <-\nport = \"access0\"\npool = \"wgar\"",
        "rule[1]",
        "can never apply: rule \"all\" above",
    ),
    (
        "a rule within an earlier one",
        "[[rule]]\nname = \"block\"\ns_vlans = \"100-109\"\npool = \"wgar\"\n[[rule]] # <-\ns_vlans = \"105\"\ncircuit_id_prefix = \"agg\"\npool = \"wgar\"",
        "rule[1]",
        "can never apply: rule \"block\" above",
    ),
];
