//! The measures themselves: they must tell the same sound from another one.

use crate::support::sound::{clip, companded, exactness, likeness};

#[test]
fn the_same_sound_is_found_and_other_speech_is_not() {
    let line = [vec![0; 9_999], clip("all-busy"), vec![0; 5_000]].concat();
    let quiet: Vec<i16> = line.iter().map(|s| s / 3).collect();
    assert!(likeness(&quiet, &clip("all-busy")) > 0.99);
    assert!(likeness(&companded(&line), &clip("all-busy")) > 0.98);
    for other in ["please-hold", "thank-you-for-calling", "message-saved", "hello"] {
        let like = likeness(&line, &clip(other));
        assert!(like < 0.6, "{other}: {like}");
    }
    assert_eq!(likeness(&[], &clip("hello")), 0.0);
    assert_eq!(likeness(&vec![0; 80_000], &clip("hello")), 0.0);
}

#[test]
fn silence_left_out_between_words_counts_little_and_changed_samples_count() {
    let said = companded(&clip("all-busy"));
    let mut heard = [vec![0; 1_234], said.clone(), vec![0; 4_000]].concat();
    assert_eq!(exactness(&heard, &said), 1.0);
    heard.drain(1_234 + 20_000..1_234 + 20_160);
    assert!(exactness(&heard, &said) > 0.97);
    assert!(likeness(&heard, &said) > 0.9);
    for sample in heard.iter_mut().step_by(150) {
        *sample ^= 8;
    }
    assert!(exactness(&heard, &said) < 0.1);
}
