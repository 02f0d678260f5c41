//! Which session a frame from an access line belongs to: the questions that several stages ask of the access index.

use shm_bridge::access::{AccessKey, Found};
use shm_bridge::session::{RowCells, RowState};
use shm_bridge::sides::Tables;
use shm_bridge::{DropReason, SessionIndex};

use crate::burst::Meta;
use crate::ports::{Port, Ports};

/// The key of a frame's line.
#[inline(always)]
pub fn key(meta: &Meta, port: &Port) -> AccessKey {
    AccessKey {
        port: u16::from(port.index),
        s_vlan: meta.s_vlan,
        c_vlan: meta.c_vlan,
        mac: meta.source_mac,
    }
}

/// What the index knows of a frame's line, the row verified. A line is unknown where the configuration does not have it.
pub fn lookup(meta: &Meta, port: &Port, ports: &Ports, tables: &Tables) -> Found {
    match tables.access.lookup(&key(meta, port), &tables.rows) {
        Found::NoSession if !ports.has_line(port.index, meta.s_vlan, meta.c_vlan) => Found::UnknownLine,
        found => found,
    }
}

/// Whether the row belongs to the line that the frame came from.
#[inline(always)]
pub fn is_of(row: &RowCells, meta: &Meta, port: &Port) -> bool {
    let (s_vlan, c_vlan, _) = row.tags_and_mtu();
    row.port() == u16::from(port.index) && s_vlan == meta.s_vlan && c_vlan == meta.c_vlan
}

/// The row of a session that the index named.
#[inline(always)]
pub fn row(tables: &Tables, session: SessionIndex) -> Result<&RowCells, DropReason> {
    tables.rows.get(session).ok_or(DropReason::CorruptTable)
}

/// Whether a session in this state has traffic at all.
#[inline(always)]
pub fn admits(state: RowState) -> Result<(), DropReason> {
    match state {
        RowState::Wgar | RowState::Activating | RowState::Active | RowState::Suspended => Ok(()),
        RowState::Terminated => Err(DropReason::SessionTerminated),
        RowState::Free | RowState::Discovered => Err(DropReason::NoSession),
    }
}
