// SPDX-License-Identifier: Apache-2.0
//! The network of a program that runs aside: virtual interfaces with the names and addresses of those of this machine, and a
//! default route that leads nowhere.
//!
//! K3s writes the address of its node into the new member, and does not start without a default route, nor without the
//! interface that `flannel-iface` names. Its ports are free in a namespace of its own, and no packet leaves it.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use serde::{Deserialize, Serialize};

/// The interface that every network namespace has.
const LOOPBACK: &str = "lo";
/// The name of the other end, if the number of interfaces is odd.
const OTHER_END: &str = "k3s-aside1";

/// An interface with its addresses and their prefix lengths, in the order of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Interface {
    name: String,
    /// Without loopback and link-local addresses.
    addresses: Vec<(IpAddr, u8)>,
}

/// The interfaces of this machine that have addresses, as a program aside is to find them. The first one is that of the
/// default route, which K3s takes its address from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostNetwork(Vec<Interface>);

impl HostNetwork {
    /// Reads the addresses of this machine.
    ///
    /// # Errors
    /// If the kernel does not list them.
    pub fn read() -> Result<HostNetwork> {
        let mut interfaces: Vec<Interface> = Vec::new();
        for item in getifaddrs().context("listing the addresses of this machine")? {
            let (Some(address), Some(mask)) = (item.address, item.netmask) else { continue };
            let ip = |s: &nix::sys::socket::SockaddrStorage| -> Option<IpAddr> {
                s.as_sockaddr_in()
                    .map(|a| a.ip().into())
                    .or_else(|| s.as_sockaddr_in6().map(|a| a.ip().into()))
            };
            let (Some(address), Some(mask)) = (ip(&address), ip(&mask)) else { continue };
            if address.is_loopback() || is_link_local(&address) {
                continue;
            }
            let entry = (address, prefix(&mask));
            let name = device_of(&item.interface_name);
            match interfaces.iter_mut().find(|known| known.name == name) {
                Some(known) => known.addresses.push(entry),
                None => interfaces.push(Interface { name: name.to_owned(), addresses: vec![entry] }),
            }
        }
        let default = default_route_interface();
        interfaces.sort_by_key(|interface| Some(&interface.name) != default.as_ref());
        Ok(HostNetwork(interfaces))
    }

    /// Every address.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.iter().flat_map(|interface| &interface.addresses).map(|(ip, _)| *ip)
    }

    /// Sets up the network namespace of this process.
    ///
    /// # Errors
    /// If the kernel refuses, for instance because it has no virtual Ethernet interfaces.
    pub(super) fn set_up(&self) -> Result<()> {
        let mut netlink = Netlink::open()?;
        let lo = if_nametoindex(LOOPBACK).context("looking up the loopback interface")?;
        netlink.up(lo)?;
        // A virtual address may be on it.
        for (ip, prefix) in self.0.iter().filter(|i| i.name == LOOPBACK).flat_map(|i| &i.addresses) {
            netlink.address(lo, *ip, *prefix)?;
        }
        let mut default = None;
        for pair in self.pairs() {
            let names = pair.each_ref().map(|interface| interface.name.as_str());
            let indexes = match netlink.veth(names) {
                Ok(()) => names.map(if_nametoindex),
                // A kernel without them: the addresses on the loopback interface do for most configurations.
                Err(e) => {
                    log::debug!("{e:#}; the addresses are put on the loopback interface");
                    [Ok(lo), Ok(lo)]
                }
            };
            for (interface, index) in pair.iter().zip(indexes) {
                let index = index.context("looking up the new interface")?;
                netlink.up(index)?;
                default = default.or(Some(index));
                for (ip, prefix) in &interface.addresses {
                    netlink.address(index, *ip, *prefix)?;
                }
            }
        }
        let first_index = default.context("there is no interface")?;
        netlink.default_route(first_index, AddressFamily::Inet)?;
        if self.all().any(|ip| ip.is_ipv6()) {
            netlink.default_route(first_index, AddressFamily::Inet6)?;
        }
        Ok(())
    }
}

impl HostNetwork {
    /// The interfaces as the ends of virtual Ethernet interfaces. There is at least one pair.
    fn pairs(&self) -> Vec<[Interface; 2]> {
        let empty = |name: &str| Interface { name: name.to_owned(), addresses: vec![] };
        let mut all: Vec<Interface> = self.0.iter().filter(|i| i.name != LOOPBACK).cloned().collect();
        if all.is_empty() {
            all.push(empty("k3s-aside0"));
        }
        all.chunks(2)
            .filter_map(|ends| {
                let (first, rest) = ends.split_first()?;
                Some([first.clone(), rest.first().cloned().unwrap_or_else(|| empty(OTHER_END))])
            })
            .collect()
    }
}

/// The interface of an address that may have a label, like `eth0:1`.
fn device_of(label: &str) -> &str {
    label.split_once(':').map_or(label, |(device, _)| device)
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The length of a prefix from its mask.
fn prefix(mask: &IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(v4) => v4.to_bits().count_ones(),
        IpAddr::V6(v6) => v6.to_bits().count_ones(),
    };
    u8::try_from(ones).unwrap_or(u8::MAX)
}

/// The interface of the IPv4 default route, else of the IPv6 one.
fn default_route_interface() -> Option<String> {
    let v4 = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    interface_of_v4(&v4).or_else(|| interface_of_v6(&v6)).map(str::to_owned)
}

/// Interface, destination and mask are columns 1, 2 and 8.
fn interface_of_v4(table: &str) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [interface, "00000000", _, _, _, _, _, "00000000", ..] => Some(*interface),
            _ => None,
        }
    })
}

/// Destination, its prefix length and the interface are columns 1, 2 and 10. The kernel lists an unreachable default
/// route on the loopback interface.
fn interface_of_v6(table: &str) -> Option<&str> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (destination, length, interface) = (words.first()?, words.get(1)?, words.get(9)?);
        let default = destination.bytes().all(|b| b == b'0') && *length == "00" && *interface != "lo";
        default.then_some(*interface)
    })
}

/// A netlink socket, used for one request after another.
struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// An answer of the kernel that is no acknowledgement and no error. No request here asks for data; a parser of all that the
/// kernel could send would be a third of a megabyte of the program.
struct NoData;

impl NetlinkDeserializable for NoData {
    type Error = std::convert::Infallible;

    fn deserialize(_: &NetlinkHeader, _: &[u8]) -> Result<NoData, Self::Error> {
        Ok(NoData)
    }
}

impl Netlink {
    fn open() -> Result<Netlink> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok::<Socket, std::io::Error>(socket)
        };
        Ok(Netlink { socket: open().context("opening a netlink socket")?, sequence: 0 })
    }

    /// Sends one request and waits for its acknowledgement.
    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> std::io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut buffer = vec![0; packet.buffer_len()];
        packet.serialize(&mut buffer);
        self.socket.send(&buffer, 0)?;
        let (answer, _) = self.socket.recv_from_full()?;
        let answer = NetlinkMessage::<NoData>::deserialize(&answer)
            .map_err(|e| std::io::Error::other(format!("an invalid answer of the kernel: {e}")))?;
        match answer.payload {
            NetlinkPayload::Error(e) if e.code.is_some() => Err(e.to_io()),
            _ => Ok(()),
        }
    }

    fn up(&mut self, index: u32) -> Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(link), 0).context("setting an interface up")
    }

    fn veth(&mut self, [first, second]: [&str; 2]) -> Result<()> {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(second.to_owned()));
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(first.to_owned()));
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.request(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("creating the virtual interface '{first}'"))
    }

    fn address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.prefix_len = prefix;
        message.header.index = index;
        message.header.scope = AddressScope::Universe;
        // Without a wait for duplicates: an address could not be used for seconds.
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Address(ip));
        message.attributes.push(AddressAttribute::Local(ip));
        match self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            done => done.with_context(|| format!("adding the address {ip}")),
        }
    }

    fn default_route(&mut self, index: u32, family: AddressFamily) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope =
            if family == AddressFamily::Inet { RouteScope::Link } else { RouteScope::Universe };
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Oif(index));
        if family != AddressFamily::Inet && family != AddressFamily::Inet6 {
            bail!("no such address family");
        }
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE).context("adding a default route")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_of_the_default_route_is_found() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  cni0\t00002A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                  eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(interface_of_v4(v4), Some("eth0"));
        assert_eq!(interface_of_v4("Iface\tDestination\n"), None);
        let zero = "0".repeat(32);
        let line = |length: &str, interface: &str| {
            format!("{zero} {length} {zero} 00 {zero} 00000400 00000001 00000000 00000003 {interface}\n")
        };
        let v6 = line("00", "lo") + &line("40", "eth1") + &line("00", "eth0");
        assert_eq!(interface_of_v6(&v6), Some("eth0"));
        assert_eq!(interface_of_v6(""), None);
    }

    #[test]
    fn every_interface_is_an_end_and_the_loopback_interface_is_none() {
        let names = |names: &[&str]| -> Vec<[String; 2]> {
            let interface = |name: &&str| Interface { name: (*name).into(), addresses: vec![] };
            let network = HostNetwork(names.iter().map(interface).collect());
            network.pairs().into_iter().map(|pair| pair.map(|end| end.name)).collect()
        };
        assert_eq!([device_of("eth0:1"), device_of("eth0")], ["eth0", "eth0"]);
        assert_eq!(names(&[]), [["k3s-aside0", "k3s-aside1"]]);
        assert_eq!(names(&["eth0", "lo"]), [["eth0", "k3s-aside1"]]);
        assert_eq!(names(&["eth0", "lo", "eth1", "wg0"]), [["eth0", "eth1"], ["wg0", "k3s-aside1"]]);
    }

    #[test]
    fn a_mask_is_a_prefix_length() {
        for (mask, length) in [("255.255.255.0", 24), ("255.255.255.255", 32), ("ffff:ffff::", 32)] {
            assert_eq!(prefix(&mask.parse().unwrap()), length);
        }
    }
}
