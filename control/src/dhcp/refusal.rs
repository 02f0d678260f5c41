//! Why a DHCP message got no answer: one list, from which counters and labels follow.

/// Declares an enum of reasons with labels and meanings.
macro_rules! labelled {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $label:literal: $meaning:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $(#[doc = $meaning] $variant,)* }

        impl $name {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The label used in metrics and REST.
            pub fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)* }
            }

            /// What happened, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $($name::$variant => $meaning,)* }
            }
        }
    };
}

labelled! {
    /// Why a message was refused or left unanswered.
    Refusal {
        Truncated = "truncated": "The message is shorter than its fixed part.",
        NotARequest = "not_a_request": "The op field says it comes from a server.",
        MagicCookie = "magic_cookie": "The options do not begin with the magic cookie.",
        HardwareLength = "hardware_length": "The hardware address length is over 16.",
        HardwareType = "hardware_type": "The hardware address is not an Ethernet one.",
        HardwareAddress = "hardware_address": "The hardware address is a group address or zero.",
        OptionTruncated = "option_truncated": "An option is longer than what holds it.",
        OptionLength = "option_length": "An option the server needs has an impossible length.",
        Overload = "overload": "The overload option has an impossible value.",
        NoMessageType = "no_message_type": "There is no message type: BOOTP.",
        MessageType = "message_type": "The message type is not one that clients send to servers.",
        RelayInfoMalformed = "relay_info_malformed": "Option 82 cannot be walked.",
        RelayInfoUntrusted = "relay_info_untrusted": "Option 82 from a line that nothing inserts it on.",
        RelayInfoMissing = "relay_info_missing": "No Option 82 on a line whose access node inserts it.",
        NoIdentity = "no_identity": "The message lacks a field of the identity template.",
        UnknownLine = "unknown_line": "No such access line is configured.",
        RelayFromLine = "relay_from_line": "A subscriber claims to be a relay agent.",
        UnknownRelay = "unknown_relay": "The relay agent is not configured.",
        SenderMismatch = "sender_mismatch": "The hardware address is not the frame's sender.",
        MacInUse = "mac_in_use": "Another subscriber of the same shared line has this MAC address.",
        TooManySessions = "too_many_sessions": "No more sessions can be held.",
        LineSessionsFull = "line_sessions_full": "The line has as many hosts as a line may have.",
        LineOffersFull = "line_offers_full": "The line has as many unanswered offers as a line may have.",
        Displacement = "displacement": "The line's host changed too often in a short time.",
        Terminated = "terminated": "The subscriber was terminated.",
        AaaSilent = "aaa_silent": "AAA gave no answer, and the policy is silence.",
        UnknownPool = "unknown_pool": "AAA names a pool that is not configured.",
        PoolExhausted = "pool_exhausted": "The pool has no address left.",
        NoRow = "no_row": "The workers' tables have no room for the session.",
        PublishFailed = "publish_failed": "The workers' tables could not take the session.",
        CommitFailed = "commit_failed": "The store could not keep the lease.",
        StoreTooSlow = "store_too_slow": "The binding ended before the store had kept it.",
        Duplicate = "duplicate": "A retransmission of a request whose answer is on its way.",
        OtherServer = "other_server": "The client chose another server.",
        NoAddressAsked = "no_address_asked": "A request that names no address.",
        NotTheHolder = "not_the_holder": "A decline, release or inform of an address the sender does not hold.",
        NoSession = "no_session": "A decline, release or inform without a session.",
        DeclineCapped = "decline_capped": "The line has as many addresses in quarantine as a line may have.",
        Unencodable = "unencodable": "The answer could not be written.",
    }
}

labelled! {
    /// What was noticed about a message that was handled nevertheless.
    Notice {
        RelayInfoDisagrees = "relay_info_disagrees": "Option 82 names a line that was last seen behind other tags.",
        Displaced = "displaced": "A new host took over a one-host line.",
        Replaced = "replaced": "A newer message took the place of one that waited.",
        LateAaa = "late_aaa": "An AAA answer came after its time.",
        AaaTimeout = "aaa_timeout": "AAA did not answer in time.",
        AaaFailed = "aaa_failed": "AAA could not answer.",
        Nak = "nak": "A client was told that its address is not valid here.",
        Reclaimed = "reclaimed": "A kept address was given to somebody else because the pool was empty.",
    }
}
