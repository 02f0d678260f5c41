//! The steps of opening a device, in their order. Each failure names port, device and step.

use std::ffi::{CStr, CString, c_char, c_int};

use dpdk_sys as sys;

use super::frame_size::{DeviceMtu, mtu_max};
use super::{Capabilities, PortConfig, PortError, Promiscuous, ReceiveSpread, tap_mtu};
use crate::dpdk::errno::Errno;
use crate::dpdk::mempool::Mempool;

/// Descriptors a queue, where the driver allows: 1024 is 0.7 ms of 64-byte frames at 1 Gbit/s, 70 µs at 10.
const DESCRIPTORS: u16 = 1024;

/// A device that EAL has found, with the two names that errors tell.
pub(super) struct Device<'a> {
    pub(super) port: &'a str,
    pub(super) device: &'a str,
    pub(super) id: u16,
    pub(super) info: sys::rte_eth_dev_info,
}

impl<'a> Device<'a> {
    pub(super) fn find(port: &'a str, device: &'a str) -> Result<Device<'a>, PortError> {
        let unknown = || PortError::NoDevice {
            port: port.to_owned(),
            device: device.to_owned(),
            present: devices_present(),
        };
        let name = CString::new(device).map_err(|_| unknown())?;
        let mut id = 0;
        // SAFETY: a NUL-terminated name and room for the number.
        if unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut id) } != 0 {
            return Err(unknown());
        }
        let mut found = Device {
            port,
            device,
            id,
            info: sys::rte_eth_dev_info::default(),
        };
        // SAFETY: a known port, and room for the answer.
        let code = unsafe { sys::rte_eth_dev_info_get(id, &mut found.info) };
        found.call("device information", code)?;
        Ok(found)
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        Capabilities::from_info(self.id, &self.info)
    }

    pub(super) fn check(&self, config: &PortConfig<'_>, able: &Capabilities) -> Result<(), PortError> {
        let too_many = |direction, wanted, max| PortError::Queues {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            driver: able.driver.clone(),
            direction,
            wanted,
            max,
        };
        if config.rx_queues > able.rx_queues_max {
            return Err(too_many("receive", config.rx_queues, able.rx_queues_max));
        }
        if config.tx_queues > able.tx_queues_max {
            return Err(too_many("transmit", config.tx_queues, able.tx_queues_max));
        }
        match config.spread {
            ReceiveSpread::None if config.rx_queues > 1 => Err(PortError::NoSpread {
                port: self.port.to_owned(),
                device: self.device.to_owned(),
                queues: config.rx_queues,
            }),
            ReceiveSpread::Hashed(hashing) if !able.can_hash(hashing.addresses) => Err(PortError::Hash {
                port: self.port.to_owned(),
                device: self.device.to_owned(),
                driver: able.driver.clone(),
                addresses: hashing.addresses,
            }),
            _ => Ok(()),
        }
    }

    /// No offload is asked for: tags stay in the frame, checksums are ours, frames stay in one buffer.
    ///
    /// `key` must outlive the port: ethdev keeps a pointer to it.
    pub(super) fn configure(
        &self,
        config: &PortConfig<'_>,
        mtu: DeviceMtu,
        key: &[u8],
    ) -> Result<(), PortError> {
        let mut conf = sys::rte_eth_conf::default();
        conf.rxmode.mtu = u32::from(mtu.value());
        if let ReceiveSpread::Hashed(hashing) = config.spread {
            conf.rxmode.mq_mode = sys::rte_eth_rx_mq_mode::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf = self.hash_fields(hashing.addresses, key);
        }
        // SAFETY: a known port that nothing polls yet; the configuration is read and copied, and the key that it points to is
        // the OpenPort's, which closes the port before it lets go of it. Drivers only read it.
        let code = unsafe { sys::rte_eth_dev_configure(self.id, config.rx_queues, config.tx_queues, &conf) };
        self.call("configure", code)
    }

    pub(super) fn choose_mtu(
        &self,
        config: &PortConfig<'_>,
        able: &Capabilities,
    ) -> Result<DeviceMtu, PortError> {
        DeviceMtu::of(&self.info, &able.driver, config).ok_or_else(|| PortError::Mtu {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            driver: able.driver.clone(),
            mtu: config.mtu,
            max: mtu_max(&self.info),
        })
    }

    pub(super) fn set_mtu(&self, mtu: DeviceMtu) -> Result<(), PortError> {
        match mtu {
            DeviceMtu::WithTags(mtu) => {
                // SAFETY: a configured port, not started.
                let code = unsafe { sys::rte_eth_dev_set_mtu(self.id, mtu) };
                // Drivers that keep no MTU (rings, files) take any frame that fits an mbuf.
                self.call_if_supported("set MTU", code)
            }
            DeviceMtu::PastDriver { wanted, .. } => {
                let set = tap_mtu::set(self.info.if_index, wanted);
                set.map_err(|error| {
                    self.failed(&format!("set the TAP's MTU to {wanted}"), Errno::from(error))
                })
            }
            DeviceMtu::Reduced(_) => Ok(()),
        }
    }

    /// Returns how many mbufs the queues hold when all are full.
    pub(super) fn set_up_queues(
        &self,
        config: &PortConfig<'_>,
        pool: &Mempool,
        socket: Option<u32>,
    ) -> Result<u32, PortError> {
        let (mut rx_descriptors, mut tx_descriptors) = (DESCRIPTORS, DESCRIPTORS);
        // SAFETY: a configured port, and two numbers that are brought into the driver's range.
        let code = unsafe {
            sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &mut rx_descriptors, &mut tx_descriptors)
        };
        self.call("adjust descriptors", code)?;
        let any_socket = u32::MAX;
        let socket = socket.unwrap_or(any_socket);
        for queue in 0..config.rx_queues {
            // SAFETY: a configured port and one of its queues; the pool outlives the port (OpenPort holds it).
            let code = unsafe {
                sys::rte_eth_rx_queue_setup(
                    self.id,
                    queue,
                    rx_descriptors,
                    socket,
                    &self.info.default_rxconf,
                    pool.as_ptr(),
                )
            };
            self.call_for_queue("receive", queue, code)?;
        }
        for queue in 0..config.tx_queues {
            // SAFETY: a configured port and one of its queues.
            let code = unsafe {
                sys::rte_eth_tx_queue_setup(self.id, queue, tx_descriptors, socket, &self.info.default_txconf)
            };
            self.call_for_queue("transmit", queue, code)?;
        }
        let all = |queues: u16, descriptors: u16| u32::from(queues) * u32::from(descriptors);
        Ok(all(config.rx_queues, rx_descriptors).saturating_add(all(config.tx_queues, tx_descriptors)))
    }

    pub(super) fn start(&self, promiscuous: Promiscuous) -> Result<(), PortError> {
        // SAFETY: configured, queues set up.
        self.call("start", unsafe { sys::rte_eth_dev_start(self.id) })?;
        if promiscuous == Promiscuous::On {
            // SAFETY: a started port.
            let code = unsafe { sys::rte_eth_promiscuous_enable(self.id) };
            // Drivers without an address filter need no such mode.
            self.call_if_supported("promiscuous mode", code)?;
        }
        Ok(())
    }

    pub(super) fn call(&self, step: &str, code: c_int) -> Result<(), PortError> {
        if code >= 0 {
            Ok(())
        } else {
            Err(self.failed(step, Errno::from_return(code)))
        }
    }

    fn call_if_supported(&self, step: &str, code: c_int) -> Result<(), PortError> {
        if code < 0 && Errno::from_return(code).is_unsupported() {
            Ok(())
        } else {
            self.call(step, code)
        }
    }

    fn call_for_queue(&self, direction: &str, queue: u16, code: c_int) -> Result<(), PortError> {
        if code >= 0 {
            Ok(())
        } else {
            self.call(&format!("set up {direction} queue {queue}"), code)
        }
    }

    fn failed(&self, step: &str, errno: Errno) -> PortError {
        PortError::Call {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            step: step.to_owned(),
            errno,
        }
    }
}

/// The names of all devices that EAL has found.
fn devices_present() -> Vec<String> {
    const NO_OWNER: u64 = 0;
    let mut names = Vec::new();
    // SAFETY: walks the table of ports from the given one; RTE_MAX_ETHPORTS or more ends it.
    let next = |from: u16| unsafe { sys::rte_eth_find_next_owned_by(from, NO_OWNER) };
    let mut port = next(0);
    while port < u64::from(sys::RTE_MAX_ETHPORTS) {
        // Below RTE_MAX_ETHPORTS, so it fits.
        let id = port as u16;
        let mut name = [0 as c_char; sys::RTE_ETH_NAME_MAX_LEN as usize];
        // SAFETY: the buffer has the length that the function asks for.
        if unsafe { sys::rte_eth_dev_get_name_by_port(id, name.as_mut_ptr()) } == 0 {
            // SAFETY: the function has written a NUL-terminated name into the buffer.
            names.push(
                unsafe { CStr::from_ptr(name.as_ptr()) }
                    .to_string_lossy()
                    .into_owned(),
            );
        }
        port = next(id + 1);
    }
    names
}
