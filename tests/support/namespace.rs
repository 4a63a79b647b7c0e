//! A network namespace: a private network for a test, in which any address is local and nothing leaves the machine.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

/// A network namespace with a loopback device and nothing else. It ends with its last user.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Creates a namespace in which all addresses of `networks` (`198.51.100.0/24`) are local, besides 127.0.0.0/8.
    ///
    /// # Panics
    /// Without root, or without `unshare` and `ip`: a test that needs a namespace is not skipped.
    #[must_use]
    pub fn new(networks: &[&str]) -> Self {
        let mut script = "set -e; ip link set lo up".to_owned();
        for network in networks {
            script += &format!("; ip route add local {network} dev lo");
        }
        // Stays until its input ends, so that the namespace exists until it is opened.
        script += "; echo ready; read -r _ || true";
        let mut child = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) to make a network namespace with");
        let mut line = String::new();
        let output = child.stdout.take().expect("the output is a pipe");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("a line of a child");
        let namespace = File::open(format!("/proc/{}/ns/net", child.id()));
        drop(child.stdin.take());
        let status = child.wait().expect("a child ends");
        assert!(
            line == "ready\n" && status.success(),
            "no network namespace ({status}): run this test as root, with iproute2 installed"
        );
        Self(namespace.expect("the namespace of a running child"))
    }

    /// Runs `body` in the namespace, on a thread of its own. All sockets and threads that it opens are in the
    /// namespace, including those of a gateway and of libsrt.
    ///
    /// # Panics
    /// If `body` panics, and without root.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("a thread enters the test's namespace");
            body()
        };
        let ended = thread::scope(|scope| scope.spawn(inside).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use super::Namespace;
    use std::net::UdpSocket;

    #[test]
    fn addresses_are_local_inside_only() {
        let address = "198.51.100.7:0";
        let namespace = Namespace::new(&["198.51.100.0/24"]);
        namespace.run(|| UdpSocket::bind(address)).unwrap();
        assert!(UdpSocket::bind(address).is_err(), "the test is outside");
    }
}
