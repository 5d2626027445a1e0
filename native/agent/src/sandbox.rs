// SPDX-License-Identifier: Apache-2.0
//! What all containers of the pod share.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Component, Path, PathBuf};

use lightvm_protocol::agent::{ConfigureSandbox, Dns};
use rustix::time::{ClockId, Timespec, clock_settime};

use crate::entropy;
use crate::error::{CallError, During};
use crate::launch::Owner;

/// The tmpfs behind every container's /dev/shm.
pub const SHARED_MEMORY: &str = "/run/lightvm/shm";

/// Files that containers see in place of their image's, once they have been written.
pub const POD_FILES: [(&str, &str); 3] = [
    ("/run/lightvm/pod/resolv.conf", "/etc/resolv.conf"),
    ("/run/lightvm/pod/hosts", "/etc/hosts"),
    ("/run/lightvm/pod/hostname", "/etc/hostname"),
];

const NANOSECONDS: i64 = 1_000_000_000;

/// Applies the settings of the pod as a whole.
pub fn configure(settings: &ConfigureSandbox) -> Result<(), CallError> {
    if !settings.entropy.is_empty() {
        entropy::credit(&settings.entropy).during("credit entropy")?;
    }
    if settings.realtime_nanoseconds != 0 {
        let time = Timespec {
            tv_sec: settings.realtime_nanoseconds.div_euclid(NANOSECONDS),
            tv_nsec: settings.realtime_nanoseconds.rem_euclid(NANOSECONDS),
        };
        clock_settime(ClockId::Realtime, time).during("set the clock")?;
    }
    if !settings.hostname.is_empty() {
        rustix::system::sethostname(settings.hostname.as_bytes()).during("set the host name")?;
    }
    for (name, value) in &settings.sysctls {
        fs::write(sysctl_path(name)?, value).during(format_args!("set {name} to {value}"))?;
    }
    write_pod_files(settings)
}

fn write_pod_files(settings: &ConfigureSandbox) -> Result<(), CallError> {
    let [resolv_conf, hosts, hostname] = POD_FILES.map(|(path, _)| path);
    let write =
        |path: &str, text: String| fs::write(path, text).during(format_args!("write {path}"));
    if let Some(dns) = &settings.dns {
        write(resolv_conf, resolver_configuration(dns))?;
    }
    if !settings.hostname.is_empty() {
        write(hostname, format!("{}\n", settings.hostname))?;
    }
    write(hosts, host_table(&settings.hostname, &settings.addresses))
}

/// Lets what all containers share belong to whom root is in the pod's user namespace.
pub fn give_to(owner: Owner) -> Result<(), CallError> {
    let shared = POD_FILES.map(|(path, _)| path).into_iter();
    for path in shared.chain([SHARED_MEMORY]) {
        if Path::new(path).exists() {
            let what = format!("give {path} to the pod's root");
            chown(path, Some(owner.uid), Some(owner.gid)).during(what)?;
        }
    }
    Ok(())
}

/// `net.core.somaxconn` → `/proc/sys/net/core/somaxconn`; as with sysctl(8), names with slashes
/// keep their dots.
fn sysctl_path(name: &str) -> Result<PathBuf, CallError> {
    let relative = if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if relative.is_empty() || !Path::new(&relative).components().all(plain) {
        return Err(CallError::invalid(format!("\"{name}\" is no sysctl")));
    }
    Ok(Path::new("/proc/sys").join(relative))
}

fn resolver_configuration(dns: &Dns) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text.push_str(&format!("search {}\n", dns.searches.join(" ")));
    }
    for server in &dns.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !dns.options.is_empty() {
        text.push_str(&format!("options {}\n", dns.options.join(" ")));
    }
    text
}

/// A pod without a network has its name all the same.
fn host_table(hostname: &str, addresses: &[String]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    if hostname.is_empty() {
        return text;
    }
    if addresses.is_empty() {
        text.push_str(&format!("127.0.1.1\t{hostname}\n"));
    }
    for address in addresses {
        text.push_str(&format!("{address}\t{hostname}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_stay_below_proc_sys() {
        let path = |name| sysctl_path(name).ok();
        assert_eq!(
            path("net.core.somaxconn"),
            Some("/proc/sys/net/core/somaxconn".into())
        );
        assert_eq!(path("net/a.b/c"), Some("/proc/sys/net/a.b/c".into()));
        assert_eq!(
            [path(""), path("/etc/passwd"), path("net/../../x")],
            [None, None, None]
        );
    }

    #[test]
    fn the_pod_has_its_name() {
        let lines = |name: &str, addresses: &[&str]| {
            let addresses: Vec<String> = addresses.iter().map(|it| (*it).to_owned()).collect();
            let table = host_table(name, &addresses);
            table.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines("", &["10.0.0.2"]), Vec::<String>::new());
        assert_eq!(lines("web", &[]), ["127.0.1.1\tweb"]);
        let both = lines("web", &["10.0.0.2", "fd00::2"]);
        assert_eq!(both, ["10.0.0.2\tweb", "fd00::2\tweb"]);
    }

    #[test]
    fn writes_the_resolver_configuration() {
        let dns = Dns {
            servers: vec!["192.0.2.1".into(), "192.0.2.2".into()],
            searches: vec!["a".into(), "b".into()],
            options: vec!["ndots:5".into()],
        };
        let expected = "search a b\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:5\n";
        assert_eq!(resolver_configuration(&dns), expected);
        assert_eq!(resolver_configuration(&Dns::default()), "");
    }
}
