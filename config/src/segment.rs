//! The shared segment that both processes derive from the same file.

use crate::Config;
use crate::node::Hugetlbfs;
use shm_bridge::layout::Geometry;
use shm_bridge::segment::{Pages, SegmentConfig};

impl Config {
    /// Where the segment is and how large its tables are.
    pub fn segment(&self) -> SegmentConfig {
        let limits = &self.limits;
        SegmentConfig {
            name: self.node.id.to_string(),
            run_dir: self.node.run_dir.clone(),
            pages: match &self.node.hugetlbfs {
                Hugetlbfs::Auto => Pages::Auto,
                Hugetlbfs::Mount(mount) => Pages::Mount(mount.clone()),
                Hugetlbfs::None => Pages::Ordinary,
            },
            geometry: Geometry {
                sessions: limits.sessions,
                adjacencies: limits.adjacencies,
                policer_profiles: limits.policer_profiles,
                garden_rules: limits.garden_rules,
                svlan_blocks: limits.svlan_blocks,
                tbl8_groups: limits.tbl8_groups,
                lcores: limits.lcores,
                ring_slots: limits.punt_ring_slots,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn every_size_that_the_file_allows_makes_a_segment() {
        for limits in [
            "",
            "[limits]\nsessions = 64\n",
            "[limits]\nsessions = 1048576\npunt_ring_slots = 65536\n",
        ] {
            let text = format!(
                "{limits}
                [[ports]]\nname = \"a\"\nrole = \"access\"\ndevice = \"x\"\nmac = \"02:00:00:00:00:01\"
                lines = [{{ s_vlans = \"1\", c_vlans = \"1-9\" }}]
                [[ports]]\nname = \"c\"\nrole = \"core\"\ndevice = \"y\"\nmac = \"02:00:00:00:00:02\"\naddress = \"192.0.2.2/24\"
                [pools.wgar]\nnetwork = \"10.255.0.0/16\"\n"
            );

            let config = Config::parse("test", &text).unwrap();

            assert_eq!(config.segment().geometry.validate(), Ok(()));
        }
    }
}
