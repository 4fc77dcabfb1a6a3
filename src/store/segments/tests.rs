use super::*;
use crate::store::frame;

/// What a torn write may have hit.
const TAIL: usize = 4_096;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("aria-segments-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn note(number: u64) -> Record {
    let text = "x".repeat((number % 90) as usize);
    Record::Event { sid: format!("CA{number}"), kind: "note".into(), at_ms: number, detail: text.into() }
}

fn segment(first: u64, count: u64) -> Vec<u8> {
    let mut bytes = frame::header(first).to_vec();
    for number in first..first + count {
        frame::push(&mut bytes, number, &note(number)).unwrap();
    }
    bytes
}

fn numbers(segments: &Segments) -> Vec<u64> {
    let (mut place, mut all) = (Place::default(), Vec::new());
    loop {
        let (records, behind) = segments.read(place, 7).unwrap();
        if records.is_empty() {
            return all;
        }
        for (number, record) in records {
            assert_eq!(record, note(number));
            all.push(number);
        }
        place = behind;
    }
}

#[test]
fn fault_46_a_journal_cut_at_any_byte_keeps_every_record_before() {
    let folder = folder("cut");
    let bytes = segment(1, 100);
    assert!(bytes.len() > TAIL + HEADER_BYTES);
    let mut ends = vec![HEADER_BYTES];
    while let Some(frame) = frame::parse(&bytes[*ends.last().unwrap()..]) {
        ends.push(ends.last().unwrap() + frame.bytes);
    }
    let path = path(&folder, 1);
    for cut in bytes.len() - TAIL..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().rposition(|end| *end <= cut).unwrap() as u64;
        let (segments, found) = Segments::recover(&folder).unwrap();
        assert_eq!(
            found,
            Found { records: whole, torn_bytes: (cut - ends[whole as usize]) as u64 },
            "cut at {cut}"
        );
        assert_eq!(segments.next_number(), whole + 1, "cut at {cut}");
        assert_eq!(fs::metadata(&path).unwrap().len() as usize, ends[whole as usize], "cut at {cut}");
        if cut % 16 == 0 {
            assert_eq!(numbers(&segments), (1..=whole).collect::<Vec<_>>(), "cut at {cut}");
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn garbage_behind_a_record_costs_none_before_it() {
    let folder = folder("garbage");
    for tail in [vec![0; 5_000], vec![0xff; 77], frame::header(9).to_vec()] {
        fs::write(path(&folder, 1), [segment(1, 20), tail].concat()).unwrap();
        let (segments, found) = Segments::recover(&folder).unwrap();
        assert_eq!((found.records, numbers(&segments).len()), (20, 20));
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn numbers_go_on_from_the_newest_segment_even_if_it_is_empty() {
    let folder = folder("next");
    fs::write(path(&folder, 3), segment(1, 5)).unwrap();
    fs::write(path(&folder, 4), segment(6, 0)).unwrap();
    // One that was being made when the power went.
    fs::write(path(&folder, 5), &segment(6, 0)[..9]).unwrap();
    let (segments, found) = Segments::recover(&folder).unwrap();
    assert_eq!((found.records, found.torn_bytes, segments.next_number()), (5, 9, 6));
    assert_eq!(numbers(&segments), [1, 2, 3, 4, 5]);
    // All is read: only the newest stays, because the numbers go on from it.
    let (_, place) = segments.read(Place::default(), 100).unwrap();
    let (_, place) = segments.read(place, 100).unwrap();
    segments.forget(place).unwrap();
    assert_eq!(Segments::recover(&folder).unwrap().0.next_number(), 6);
    assert!(!path(&folder, 3).exists() && path(&folder, 4).exists());
    fs::remove_dir_all(folder).unwrap();
}
