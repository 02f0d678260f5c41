#!/bin/sh
# Called by udhcpc ($1 = event), dhclient and dhcpcd ($reason): configures the interface where the client
# leaves that to its script, and appends the event to $CPE_DIRECTORY/events.
# udhcpc waits for this script: it is short.

events=$CPE_DIRECTORY/events

report() { # event address/prefix router dns lease server
    echo "$(date +%s.%N) $1 ${2:--} ${3:--} ${4:--} ${5:--} ${6:--}" >>"$events"
}

commas() { echo "$*" | tr ' ' ','; }

resolvers() {
    : >"$CPE_DIRECTORY/resolv.conf.new"
    for server in $1; do echo "nameserver $server" >>"$CPE_DIRECTORY/resolv.conf.new"; done
    mv "$CPE_DIRECTORY/resolv.conf.new" "$CPE_DIRECTORY/resolv.conf"
}

prefix_of() { # dotted mask
    prefix=0
    for octet in $(echo "$1" | tr . ' '); do
        while [ "$octet" -gt 0 ]; do
            prefix=$((prefix + 1))
            octet=$(((octet << 1) & 255))
        done
    done
    echo "$prefix"
}

configure() { # address prefix router dns
    ip -4 addr show dev "$interface" | grep -q "inet $1/$2 " || {
        ip -4 addr flush dev "$interface"
        ip addr add "$1/$2" dev "$interface"
    }
    set -- $3 "$4"
    [ -z "$1" ] || ip route replace default via "$1" dev "$interface"
    resolvers "$2"
}

if [ -n "$1" ]; then
    case $1 in
    deconfig)
        ip -4 addr flush dev "$interface"
        ip link set "$interface" up
        report deconfig
        ;;
    bound | renew)
        configure "$ip" "$mask" "${router%% *}" "$dns"
        report "$1" "$ip/$mask" "${router%% *}" "$(commas $dns)" "$lease" "$serverid"
        ;;
    *) report "$1" ;;
    esac
    exit 0
fi

case $reason in
PREINIT)
    # dhcpcd needs no preparation; dhclient wants the interface up.
    ip link set "$interface" up
    ;;
BOUND | RENEW | REBIND | REBOOT)
    prefix=${new_subnet_cidr:-$(prefix_of "$new_subnet_mask")}
    # dhcpcd sets the address itself and says so by having a pid to tell.
    [ -n "$if_configured$ifcarrier" ] || configure "$new_ip_address" "$prefix" "${new_routers%% *}" "$new_domain_name_servers"
    resolvers "$new_domain_name_servers"
    case $reason in RENEW | REBIND) event=renew ;; *) event=bound ;; esac
    report "$event" "$new_ip_address/$prefix" "${new_routers%% *}" "$(commas $new_domain_name_servers)" \
        "$new_dhcp_lease_time" "$new_dhcp_server_identifier"
    ;;
EXPIRE | FAIL | RELEASE | STOP | NAK)
    [ -n "$if_configured$ifcarrier" ] || ip -4 addr flush dev "$interface"
    case $reason in NAK) report nak ;; FAIL) report leasefail ;; *) report deconfig ;; esac
    ;;
esac
exit 0
