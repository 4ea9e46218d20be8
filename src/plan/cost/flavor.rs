//! Flavors, as the SCS flavor naming standard (SCS-0100) writes their size into their names.

use std::str::FromStr;

/// The size of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flavor {
    /// Virtual cores.
    pub cores: u64,
    /// MiB of memory.
    pub memory_mib: u64,
    /// Disks that come with it; without one it boots from a volume.
    pub disks: u64,
    /// GB of each disk.
    pub disk_gb: u64,
}

/// A text that is not the name of a flavor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a flavor name of SCS-0100, such as `SCS-2V-4-20s`")]
pub struct FlavorError(String);

/// Reads the mandatory parts of a name: `SCS-2V-4-20s` is 2 cores, 4 GiB, one disk of 20 GB. Old names with colons
/// (`SCS-2V:4:20`) are read as well; what follows an underscore does not change the size.
impl FromStr for Flavor {
    type Err = FlavorError;

    fn from_str(text: &str) -> Result<Self, FlavorError> {
        let error = || FlavorError(text.to_owned());
        let name = text.strip_prefix("SCS-").ok_or_else(error)?;
        let name = name.split('_').next().unwrap_or(name);
        let mut parts = name.split(['-', ':']);
        let cpu = parts.next().ok_or_else(error)?;
        // Insecure; without it: C(ore), T(hread), V(irtual), L(ow performance).
        let cpu = cpu.strip_suffix('i').unwrap_or(cpu);
        let cores = cpu.strip_suffix(['C', 'T', 'V', 'L']).ok_or_else(error)?;
        let cores = cores.parse().ok().filter(|cores| (1..=65_536).contains(cores)).ok_or_else(error)?;
        let memory = parts.next().ok_or_else(error)?;
        // Oversubscribed, without error correction.
        let memory = memory.trim_end_matches(['u', 'o']);
        let (whole, tenths) = memory.split_once('.').unwrap_or((memory, "0"));
        let whole: u64 = whole.parse().ok().filter(|gib| *gib <= 1 << 20).ok_or_else(error)?;
        let tenths: u64 = tenths.parse().ok().filter(|tenths| *tenths <= 9).ok_or_else(error)?;
        let memory_mib = whole * 1024 + tenths * 1024 / 10;
        let (disks, disk_gb) = match parts.next() {
            None => (0, 0),
            Some(disk) => {
                // NVMe, SSD, HDD, network, local with that speed.
                let disk = disk.trim_end_matches(['n', 's', 'h', 'p', 'l']);
                let (count, size) = disk.split_once('x').unwrap_or(("1", disk));
                let count = count.parse().ok().filter(|count| (1..=64).contains(count)).ok_or_else(error)?;
                // A disk of any size is written without one.
                let size = if size.is_empty() { Some(0) } else { size.parse().ok() };
                (count, size.ok_or_else(error)?)
            }
        };
        if parts.next().is_some() || memory_mib == 0 {
            return Err(error());
        }
        Ok(Self { cores, memory_mib, disks, disk_gb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_standard_are_read() {
        for (name, expect) in [
            ("SCS-2V-4-20", Some((2, 4096, 1, 20))),
            ("SCS-2V-4-20s", Some((2, 4096, 1, 20))),
            ("SCS-2V-4", Some((2, 4096, 0, 0))),
            ("SCS-4V:8:20", Some((4, 8192, 1, 20))),
            ("SCS-16T-64-3x10s", Some((16, 65_536, 3, 10))),
            ("SCS-1Li-0.5u-5_kvm_i1", Some((1, 512, 1, 5))),
            ("SCS-2V-4-20s-x", None),
            ("SCS-V-4", None),
            ("SCS-2X-4", None),
            ("SCS-2V", None),
            ("m1.small", None),
            ("", None),
        ] {
            let read = name.parse::<Flavor>().ok();
            let read = read.map(|flavor| (flavor.cores, flavor.memory_mib, flavor.disks, flavor.disk_gb));
            assert_eq!(read, expect, "{name}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "SCS-[0-9VCTLi.x:-]{0,20}|\\PC{0,30}") {
            let _ = text.parse::<Flavor>();
        }
    }
}
