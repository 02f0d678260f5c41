//! Finds DPDK, writes the bindings, compiles the shims. Fails with the packages to install where something is absent.

use std::env;
use std::path::PathBuf;
use std::process::exit;

/// The functions called by `worker/src/dpdk`, and no others: binding all of DPDK is 40 times as much.
const FUNCTIONS: &[&str] = &[
    "rte_eal_init",
    "rte_eal_cleanup",
    "rte_eal_has_hugepages",
    "rte_eal_get_runtime_dir",
    "rte_eal_remote_launch",
    "rte_eal_wait_lcore",
    "rte_eal_get_lcore_state",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_get_name_by_port",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_rss_hash_conf_get",
    "rte_eth_dev_rss_hash_update",
    "rte_eth_dev_rss_reta_query",
    "rte_eth_dev_rss_reta_update",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_find_next_owned_by",
    "rte_eth_link_get_nowait",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_enable",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_tx_queue_setup",
    "rte_get_main_lcore",
    "rte_get_next_lcore",
    "rte_lcore_to_cpu_id",
    "rte_lcore_to_socket_id",
    "rte_mempool_avail_count",
    "rte_mempool_in_use_count",
    "rte_pktmbuf_free_bulk",
    "rte_pktmbuf_pool_create",
    "rte_ring_create",
    "rte_ring_free",
    "rte_strerror",
    "rte_tel_data_add_dict_string",
    "rte_tel_data_add_dict_u64",
    "rte_tel_data_start_dict",
    "rte_telemetry_register_cmd",
    "rte_version",
    "shim_.*",
];

const TYPES: &[&str] = &[
    "rte_eth_conf",
    "rte_eth_dev_info",
    "rte_eth_link",
    "rte_eth_rss_conf",
    "rte_eth_rss_reta_entry64",
    "rte_eth_stats",
    "rte_ether_addr",
    "rte_lcore_state_t",
    "rte_mbuf",
];

/// Handled by pointer only; their insides are none of our business.
const OPAQUE: &[&str] = &[
    "rte_device",
    "rte_eth_dcb_rx_conf",
    "rte_eth_dcb_tx_conf",
    "rte_eth_vmdq_dcb_conf",
    "rte_eth_vmdq_dcb_tx_conf",
    "rte_eth_vmdq_rx_conf",
    "rte_eth_vmdq_tx_conf",
    "rte_mbuf_ext_shared_info",
    "rte_mempool",
    "rte_ring",
    "rte_tel_data",
];

/// DPDK's own where bindgen can evaluate the macro, else the ones that bound.h makes of it.
const CONSTANTS: &[&str] = &[
    "RTE_ETH_NAME_MAX_LEN",
    "RTE_ETH_RETA_GROUP_SIZE",
    "RTE_MAX_ETHPORTS",
    "RTE_MAX_LCORE",
    "RTE_MEMPOOL_CACHE_MAX_SIZE",
    "RTE_PKTMBUF_HEADROOM",
    "ETH_RSS_.*",
    "MBUF_F_.*",
    "MEMPOOL_NAME_BYTES",
    "RING_F_SP_ENQUEUE_SC_DEQUEUE",
    "RING_NAME_BYTES",
];

/// The libraries that define the functions above. The drivers are not linked: a shared libdpdk loads every
/// `librte_net_*.so` of its driver directory when EAL starts.
const LIBRARIES: &[&str] = &[
    "rte_eal",
    "rte_ethdev",
    "rte_mbuf",
    "rte_mempool",
    "rte_ring",
    "rte_telemetry",
];

fn main() {
    println!("cargo::rerun-if-changed=src/bound.h");
    println!("cargo::rerun-if-changed=src/shims.h");
    println!("cargo::rerun-if-changed=src/shims.c");

    let dpdk = find_dpdk();
    link(&dpdk);
    let flags = compiler_flags();
    compile_shims(&flags);
    write_bindings(&flags);
}

fn find_dpdk() -> pkg_config::Library {
    pkg_config::Config::new()
        .range_version("22.11".."23.0")
        .cargo_metadata(false)
        .env_metadata(true)
        .probe("libdpdk")
        .unwrap_or_else(|error| {
            stop(&format!(
                "DPDK 22.11 was not found by pkg-config. On Debian 12: apt-get install libdpdk-dev pkg-config ({})",
                error.to_string().lines().last().unwrap_or_default()
            ))
        })
}

fn link(dpdk: &pkg_config::Library) {
    for path in &dpdk.link_paths {
        println!("cargo::rustc-link-search=native={}", path.display());
    }
    for library in LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
}

/// The flags as pkg-config prints them: `-include rte_config.h` and `-march` matter (they choose inlines and
/// alignments) and are not part of what the pkg-config crate parses.
fn compiler_flags() -> Vec<String> {
    let command = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = std::process::Command::new(&command)
        .args(["--cflags", "libdpdk"])
        .output()
        .unwrap_or_else(|error| stop(&format!("{command} --cflags libdpdk: {error}")));
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn compile_shims(flags: &[String]) {
    let mut shims = cc::Build::new();
    shims
        .file("src/shims.c")
        .opt_level(3)
        .warnings(true)
        .flag_if_supported("-Wno-deprecated-declarations");
    for flag in flags {
        shims.flag(flag);
    }
    shims.compile("sluice_dpdk_shims");
}

fn write_bindings(flags: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("src/bound.h")
        .clang_args(flags)
        .use_core()
        .rust_edition(bindgen::RustEdition::Edition2024)
        .wrap_unsafe_ops(true)
        .layout_tests(true)
        .derive_default(true)
        .generate_comments(false)
        .prepend_enum_name(false)
        .default_enum_style(bindgen::EnumVariation::ModuleConsts);
    builder = FUNCTIONS
        .iter()
        .fold(builder, |builder, name| builder.allowlist_function(name));
    builder = TYPES
        .iter()
        .fold(builder, |builder, name| builder.allowlist_type(name));
    builder = OPAQUE
        .iter()
        .fold(builder, |builder, name| builder.opaque_type(name));
    builder = CONSTANTS
        .iter()
        .fold(builder, |builder, name| builder.allowlist_var(name));

    // bindgen panics where libclang is absent; our own message names the package instead.
    std::panic::set_hook(Box::new(|_| ()));
    let bindings = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.generate()))
        .unwrap_or_else(|_| stop("libclang was not found. On Debian 12: apt-get install libclang-dev"))
        .unwrap_or_else(|error| stop(&format!("bindgen could not read DPDK's headers: {error}")));
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("bindings.rs");
    bindings
        .write_to_file(&out)
        .unwrap_or_else(|error| stop(&format!("{}: {error}", out.display())));
}

fn stop(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}
