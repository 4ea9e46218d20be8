//! Which process this is, and whether another one still lives.

use crate::types::Owner;

/// The boot of this machine, and the set of process ids that this process lives in: containers of one machine share
/// the boot, but a process id of one means nothing in the other.
fn boot() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    Some(format!("{}.{number}", boot.trim()))
}

/// Field 22 of `/proc/PID/stat`. The name in field 2 may hold blanks and parentheses, so the count begins after it.
/// A dead process that nobody has waited for yet does nothing any more.
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
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

    #[test]
    fn a_dead_process_that_nobody_waited_for_has_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let owner = Owner { pid: child.id(), start: start_of(child.id()).unwrap(), ..this_process() };
        assert_eq!(life(&owner), Life::Alive);
        child.kill().unwrap();
        while life(&owner) != Life::Ended {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
