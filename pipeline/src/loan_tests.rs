//! A loan between real threads, for Miri and ThreadSanitizer too; `tests/loom.rs` tries it in every order. Beside the file and not in it, because
//! that is compiled there once more.
#![allow(clippy::disallowed_methods)] // tests start threads

use std::hint::spin_loop;

use crate::loan::loan;

#[test]
fn what_goes_back_and_forth_is_whole_on_either_side() {
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    // Two words that whoever has them keeps equal.
    let (mut owner, mut borrower) = loan((0, 0));
    let other = std::thread::spawn(move || {
        for round in 0..rounds {
            while borrower.with(|(a, b)| (*a, *b) = (*a + 1, *b + 1)).is_none() {
                spin_loop();
            }
            assert!(borrower.give_back(), "{round}");
        }
    });
    for round in 0..rounds {
        assert_eq!(owner.with(|(a, b)| (*a, *b)), Some((round, round)));
        assert!(owner.offer(|(a, b)| assert_eq!(a, b)));
        // Not `with`, which would withdraw the offer.
        let place = owner.whereabouts();
        while place.is_lent() {
            spin_loop();
        }
    }
    other.join().unwrap();
}
