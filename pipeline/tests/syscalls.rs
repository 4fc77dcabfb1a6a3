//! A tick makes no system call but the clock's: the kernel kills whoever makes another (seccomp), in a process of its own.
//!
//! Bells are silent here: what a socket's task does to be woken is its own affair, and is counted by `perf/syscalls.sh`.
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::sync::Arc;

use pipeline::opus::Encoder;
use pipeline::{
    CallConfig, CallPorts, Clock, MediaFrame, ModelCodec, Nanos, OpusConfig, Packet, SampleRate, Silent,
    Worker, call, now,
};

/// Passes at a simulated pace, but asks the real clock as an audio thread does.
struct Time(Cell<u64>);

impl Clock for Time {
    fn now(&self) -> Nanos {
        std::hint::black_box(now());
        Nanos(self.0.get())
    }
}

/// From here on, any other call kills the process with SIGSYS. (The clock is no system call where the vDSO serves it.)
fn confine() {
    let allow = [libc::SYS_clock_gettime, libc::SYS_exit_group];
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [op(0, 0, 0, 0); 6];
    filter[0] = op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0); // the call's number
    for (i, number) in allow.iter().enumerate() {
        let to_allow = (allow.len() - i) as u8;
        filter[1 + i] = op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, to_allow, 0, *number as u32);
    }
    filter[3] = op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS);
    filter[4] = op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW);
    let program = libc::sock_fprog { len: 5, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, whose length is that of the array's used part.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
        {
            libc::_exit(99);
        }
    }
}

/// Runs `work` confined in a child process; gives its exit code, or the signal that killed it.
fn confined(mut work: impl FnMut()) -> Result<i32, i32> {
    // SAFETY: the child allocates nothing and takes no lock (that is what is tested) and leaves by `_exit`.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "fork");
        if child == 0 {
            confine();
            work();
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        if libc::WIFEXITED(status) { Ok(libc::WEXITSTATUS(status)) } else { Err(libc::WTERMSIG(status)) }
    }
}

/// Ten seconds of a call in which both sides speak.
fn ten_seconds(codec: ModelCodec, mut also: impl FnMut(u64)) -> Result<i32, i32> {
    let time = Time(Cell::new(now().0));
    let mut worker = Worker::alone(1);
    let config = CallConfig { codec, ..CallConfig::default() };
    let (CallPorts { mut media, mut model, control }, slot) =
        call(config, Arc::new(Silent), Arc::new(Silent));
    worker.add(slot).unwrap();
    let mut encoder = Encoder::new(SampleRate::Hz8000, &OpusConfig::default()).unwrap();
    let mut opus = [0; 1275];
    let n = encoder.encode(&[500; 160], &mut opus).unwrap();
    let reply = if codec == ModelCodec::Opus { &opus[..n] } else { &[0x23; 160][..] };
    let (stats, mut frames) = (control.stats(), 0);
    confined(|| {
        for i in 0..500_u64 {
            let _ = media.push(&MediaFrame::new(time.now(), i * 160, &[0x31; 160]).unwrap());
            let stamp = i as u32 * (codec.rtp_clock() / 50);
            // One in fifty is lost.
            if i % 50 != 7 {
                let _ = model.push(&Packet::new(time.now(), codec, i as u16, stamp, false, reply).unwrap());
            }
            for _ in 0..20 {
                worker.tick(&time);
                time.0.set(time.0.get() + 1_000_000);
                while media.pop().is_some() {
                    frames += 1;
                }
                while model.pop().is_some() {}
            }
            also(i);
        }
        if frames < 450 || stats.packets_out.get() != 500 || stats.concealed.get() + stats.fec.get() == 0 {
            // SAFETY: ends the child.
            unsafe { libc::_exit(1) };
        }
    })
}

#[test]
fn ticks_make_no_system_call() {
    for codec in [ModelCodec::Opus, ModelCodec::Pcmu] {
        assert_eq!(
            ten_seconds(codec, |_| {}),
            Ok(0),
            "{codec:?}: killed by a signal, or the audio did not flow"
        );
    }
}

#[test]
fn one_stray_call_is_caught() {
    let stray = |i| {
        if i == 400 {
            // SAFETY: takes no pointer.
            unsafe { libc::getppid() };
        }
    };
    assert_eq!(ten_seconds(ModelCodec::Pcmu, stray), Err(libc::SIGSYS));
}
