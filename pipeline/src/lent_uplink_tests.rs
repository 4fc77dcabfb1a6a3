use super::*;

/// What the model gets, whoever makes it: the first byte of each packet.
fn taken(port: &mut ModelPort) -> Vec<u8> {
    std::iter::from_fn(|| port.pop()).map(|packet| packet.payload()[0]).collect()
}

#[test]
fn bytes_that_need_no_codec_pass_by_the_audio_thread() {
    let mut rig = Rig::new();
    let mut ports = rig.add(Arc::new(Count::default()));
    ports.media.push(&rig.frame(0)).unwrap();
    assert!(!ports.model.run_uplink(&rig.time).pushed, "it is the audio thread's until that has offered it");
    assert!(rig.worker.has_news());
    rig.tick(0);
    assert_eq!(rig.rung(), 1, "the offer is told");
    assert!(ports.model.run_uplink(&rig.time).pushed);
    assert_eq!(taken(&mut ports.model), [0], "what was there before the offer");
    for i in 1..50 {
        rig.time.0.set(i * 20);
        ports.media.push(&rig.frame(i)).unwrap();
        assert!(!rig.worker.has_news(), "the audio thread is not woken");
        assert_eq!(rig.rung(), 1);
        let progress = ports.model.run_uplink(&rig.time);
        assert_eq!((progress.pushed, progress.next), (true, rig.time.now() + crate::uplink::SILENCE_AFTER));
        assert_eq!(taken(&mut ports.model), [i as u8]);
    }
    // A line that has fallen silent is filled in as ever.
    let begun = rig.time.0.get() + 400;
    for ms in (begun..begun + 100).step_by(20) {
        rig.time.0.set(ms);
        ports.model.run_uplink(&rig.time);
        assert_eq!(taken(&mut ports.model), [0xFF]);
    }
    let stats = ports.control.stats();
    assert_eq!((stats.frames_in.get(), stats.packets_out.get(), stats.silence_filled.get()), (50, 55, 5));
}

#[test]
fn a_burst_keeps_its_pace_wherever_it_passes() {
    let mut rig = Rig::new();
    let mut ports = rig.add(Arc::new(Count::default()));
    ports.model.run_uplink(&rig.time);
    rig.tick(0);
    for i in 0..20 {
        ports.media.push(&rig.frame(i)).unwrap();
    }
    let mut got = Vec::new();
    let mut sent_at = Vec::new();
    for ms in 0..100 {
        rig.time.0.set(ms);
        let progress = ports.model.run_uplink(&rig.time);
        let packets = taken(&mut ports.model);
        sent_at.extend(packets.iter().map(|_| ms));
        got.extend(packets);
        assert!(progress.next > rig.time.now(), "it would be asked again at once");
    }
    assert_eq!(got, (0..20).collect::<Vec<_>>());
    assert_eq!(sent_at[4], 0, "five at once");
    assert!(sent_at[5..].windows(2).all(|pair| pair[1] - pair[0] == 4), "{sent_at:?}");
}

#[test]
fn a_codec_calls_the_uplink_back_and_nothing_is_lost_on_the_way() {
    let mut rig = Rig::new();
    let mut ports = rig.add(Arc::new(Count::default()));
    let mut got = Vec::new();
    let mut codecs = Vec::new();
    for i in 0..60 {
        rig.time.0.set(i * 20);
        match i {
            20 => ports.control.send(Command::SetCodec(ModelCodec::Pcma)).unwrap(),
            40 => ports.control.send(Command::SetCodec(ModelCodec::Pcmu)).unwrap(),
            _ => {}
        }
        ports.media.push(&rig.frame(i)).unwrap();
        // Either may be first to look.
        if i % 2 == 0 {
            ports.model.run_uplink(&rig.time);
        }
        if rig.worker.has_news() {
            rig.tick(i * 20);
        }
        while rig.rung() > 0 || rig.worker.has_news() {
            ports.model.run_uplink(&rig.time);
            rig.tick(i * 20);
        }
        while let Some(packet) = ports.model.pop() {
            got.push(packet.seq);
            codecs.push(packet.codec);
        }
        assert_eq!(got.len() as u64, i + 1, "frame {i} waits");
    }
    assert_eq!(got, (0..60).collect::<Vec<_>>());
    let pcma = codecs.iter().filter(|codec| **codec == ModelCodec::Pcma).count();
    assert!(codecs[..20].iter().chain(&codecs[41..]).all(|codec| *codec == ModelCodec::Pcmu), "{codecs:?}");
    assert!((19..=21).contains(&pcma), "{codecs:?}");
}

#[test]
fn a_peer_that_is_gone_keeps_no_uplink() {
    let mut rig = Rig::new();
    for taken_up in [false, true] {
        let CallPorts { mut media, mut model, control } = rig.add(Arc::new(Count::default()));
        model.run_uplink(&rig.time);
        rig.tick(0);
        if taken_up {
            model.run_uplink(&rig.time);
        }
        model.leave();
        rig.tick(0);
        media.push(&rig.frame(1)).unwrap();
        assert!(rig.worker.has_news());
        rig.tick(0);
        assert_eq!(taken(&mut model), [1]);
        // And once more, by the port's end.
        model.run_uplink(&rig.time);
        rig.tick(0);
        drop(model);
        rig.tick(0);
        media.push(&rig.frame(2)).unwrap();
        rig.tick(0);
        assert_eq!(control.stats().packets_out.get(), 2);
    }
}

#[test]
fn a_call_that_has_ended_passes_nothing_on() {
    let mut rig = Rig::new();
    let mut ports = rig.add(Arc::new(Count::default()));
    ports.model.run_uplink(&rig.time);
    rig.tick(0);
    ports.control.send(Command::Stop).unwrap();
    rig.tick(0);
    let _ = ports.media.push(&rig.frame(0));
    assert!(!ports.model.run_uplink(&rig.time).pushed);
    assert_eq!(rig.worker.reap(), 1, "freed, though its uplink was lent");
}
