//! What stands in the way of a TUN device, by its name?

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;

/// Why an unprivileged process may not have a network namespace here, and what would help, as far
/// as the settings of the kernel tell.
pub(crate) fn of_namespaces() -> Option<&'static str> {
    forbids_namespaces(|name| {
        let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        text.trim().parse().ok()
    })
}

fn forbids_namespaces(setting: impl Fn(&str) -> Option<u64>) -> Option<&'static str> {
    // user_namespaces(7); the others are Debian's and Ubuntu's.
    if setting("user/max_user_namespaces") == Some(0) {
        return Some("user.max_user_namespaces is 0; set it higher with sysctl, or run as root");
    }
    if setting("user/max_net_namespaces") == Some(0) {
        return Some("user.max_net_namespaces is 0; set it higher with sysctl");
    }
    if setting("kernel/unprivileged_userns_clone") == Some(0) {
        return Some("kernel.unprivileged_userns_clone is 0; set it to 1, or run as root");
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return Some(
            "kernel.apparmor_restrict_unprivileged_userns is 1; set it to 0, or run as root",
        );
    }
    None
}

/// Why the device file cannot be opened, if it is there and cannot.
pub(crate) fn of_device() -> Option<String> {
    let mode = fs::metadata(DEVICE).ok()?.permissions().mode() & 0o7777;
    File::options().read(true).write(true).open(DEVICE).err()?;
    Some(format!("the mode of {DEVICE} is {mode:04o}; chmod 0666 {DEVICE}, or run as root"))
}

const DEVICE: &str = "/dev/net/tun";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_that_forbids_is_named() {
        let all_well = [
            ("user/max_user_namespaces", 1000, 0),
            ("user/max_net_namespaces", 1000, 0),
            ("kernel/unprivileged_userns_clone", 1, 0),
            ("kernel/apparmor_restrict_unprivileged_userns", 0, 1),
        ];
        let value_with = |bad: Option<&str>, name: &str| {
            let (_, good, wrong) = all_well.iter().find(|(known, ..)| *known == name)?;
            Some(if bad == Some(name) { *wrong } else { *good })
        };
        assert_eq!(forbids_namespaces(|name| value_with(None, name)), None);
        assert_eq!(forbids_namespaces(|_| None), None);
        for (bad, ..) in all_well {
            let obstacle = forbids_namespaces(|name| value_with(Some(bad), name)).unwrap();
            assert!(obstacle.starts_with(&bad.replace('/', ".")), "{obstacle}");
        }
    }
}
