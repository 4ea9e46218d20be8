//! Which process carries a run out. A process id alone says nothing: it is given again after the process ends,
//! and it means another process after a reboot and on another machine.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A process, told apart from every other one that ever had its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The boot of the machine and its set of process ids (`/proc/sys/kernel/random/boot_id`, `/proc/self/ns/pid`).
    pub boot: String,
    /// The process id.
    pub pid: u32,
    /// Its start time in clock ticks since that boot (field 22 of `/proc/PID/stat`).
    pub start: u64,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.boot, self.pid, self.start)
    }
}

impl std::str::FromStr for Owner {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(boot), Some(pid), Some(start), None) => Ok(Self {
                boot: boot.to_owned(),
                pid: pid.parse().map_err(|_| ())?,
                start: start.parse().map_err(|_| ())?,
            }),
            _ => Err(()),
        }
    }
}
