//! Waiting for many sockets until a precise moment.
//!
//! Neither the timers of an async runtime (milliseconds late) nor socket read timeouts (a scheduler tick late) can pace speech; `ppoll` with
//! nanoseconds can, to within the machine's own wake-up time.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// The longest sleep, so that a clock mistake can never freeze a thread.
const LONGEST: Duration = Duration::from_millis(500);

/// The sockets of one thread.
#[derive(Default)]
pub(crate) struct Sockets(Vec<libc::pollfd>);

impl Sockets {
    /// Watches these and no others, in this order.
    pub(crate) fn set(&mut self, sockets: impl Iterator<Item = RawFd>) {
        self.0.clear();
        self.0.extend(sockets.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }));
    }

    /// Whether the socket at this place may be read.
    pub(crate) fn is_ready(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|socket| socket.revents != 0)
    }

    /// Sleeps until a socket may be read or `deadline` has come.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let rest = deadline.map_or(LONGEST, |at| at.saturating_duration_since(Instant::now())).min(LONGEST);
        match poll(&mut self.0, rest) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.0.iter_mut().for_each(|socket| socket.revents = 0);
                Ok(())
            }
            result => result,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn poll(sockets: &mut [libc::pollfd], rest: Duration) -> io::Result<()> {
    let rest = libc::timespec {
        tv_sec: rest.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(rest.subsec_nanos() as i32),
    };
    // SAFETY: the slice is valid for its length, the time is a local, and no signal mask is given.
    let ready =
        unsafe { libc::ppoll(sockets.as_mut_ptr(), sockets.len() as libc::nfds_t, &rest, std::ptr::null()) };
    if ready < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Where there is no `ppoll`, whole milliseconds, never early: up to 1 ms late.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn poll(sockets: &mut [libc::pollfd], rest: Duration) -> io::Result<()> {
    let millis = rest.as_micros().div_ceil(1000) as libc::c_int;
    // SAFETY: the slice is valid for its length.
    let ready = unsafe { libc::poll(sockets.as_mut_ptr(), sockets.len() as libc::nfds_t, millis) };
    if ready < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks the kernel not to gather this thread's wake-ups: the default slack is 50 µs.
pub(crate) fn wake_exactly() {
    #[cfg(target_os = "linux")]
    // SAFETY: this request takes one number and touches no memory of ours. Refusal costs only precision.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1u64 as libc::c_ulong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    #[test]
    fn data_ends_the_wait_and_so_does_time() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sockets = Sockets::default();
        sockets.set([socket.as_raw_fd()].into_iter());
        let deadline = Instant::now() + Duration::from_millis(5);
        sockets.wait(Some(deadline)).unwrap();
        assert!(!sockets.is_ready(0) && Instant::now() >= deadline);
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        sockets.wait(None).unwrap();
        assert!(sockets.is_ready(0) && !sockets.is_ready(1));
    }
}
