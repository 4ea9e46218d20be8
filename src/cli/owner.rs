//! Which process this is, and whether another one still lives.

use crate::types::Owner;

fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

/// Field 22 of `/proc/PID/stat`. The name in field 2 may hold blanks and parentheses, so the count begins after it.
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// This process.
pub(super) fn this_process() -> Owner {
    let pid = std::process::id();
    Owner { boot: boot().unwrap_or_default(), pid, start: start_of(pid).unwrap_or_default() }
}

/// Whether a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It runs on this machine.
    Alive,
    /// It ran on this boot of this machine and has ended.
    Ended,
    /// It belongs to another machine or another boot: nobody here can tell.
    Elsewhere,
}

/// Whether the owner of a run still lives.
pub(super) fn life(owner: &Owner) -> Life {
    match boot() {
        Some(boot) if boot == owner.boot => {
            if start_of(owner.pid) == Some(owner.start) {
                Life::Alive
            } else {
                Life::Ended
            }
        }
        _ => Life::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_process_id_is_not_taken_for_its_owner() {
        let this = this_process();
        assert_eq!(life(&this), Life::Alive);
        assert_eq!(life(&Owner { start: this.start + 1, ..this.clone() }), Life::Ended);
        assert_eq!(life(&Owner { boot: "another".into(), ..this }), Life::Elsewhere);
    }
}
