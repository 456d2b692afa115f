use super::*;

fn names(names: &[&str]) -> Vec<ColumnName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    }
}

fn frame(rows: usize, next: &mut impl FnMut(u64) -> u64) -> DataFrame {
    let id: Vec<Option<i64>> = (0..rows).map(|_| Some(next(20) as i64).filter(|id| *id != 13)).collect();
    let part: Vec<&str> = (0..rows).map(|_| ["a", "b"][next(2) as usize]).collect();
    let at: Vec<Option<i64>> = (0..rows).map(|_| Some(next(6) as i64).filter(|at| *at != 0)).collect();
    let value: Vec<Option<f64>> = (0..rows).map(|_| Some(next(3) as f64).filter(|value| *value != 2.0)).collect();
    df!("value" => value, "id" => id, "at" => at, "part" => part).unwrap()
}

fn assert_balanced(merged: &Merged, incoming: &DataFrame) {
    let sum = merged.written + merged.updated + merged.unchanged + merged.deduplicated;
    assert_eq!(sum, incoming.height() as u64, "{merged:?}");
}

#[test]
fn merging_in_parts_gives_the_same_rows() {
    let mut next = random(1);
    for round in 0..60 {
        let all = frame(1 + next(80) as usize, &mut next);
        let key = if round % 2 == 0 { names(&["id", "part"]) } else { names(&["id"]) };
        let latest: Option<ColumnName> = (round % 3 != 0).then(|| "at".parse().unwrap());
        let once = merge(None, &all, &key, latest.as_ref()).unwrap();
        assert_balanced(&once, &all);
        assert_eq!(once.written, once.rows.height() as u64);
        let mut rows: Option<DataFrame> = None;
        let mut from = 0;
        while from < all.height() {
            let length = 1 + next(25) as usize;
            let part = all.slice(from as i64, length);
            let merged = merge(rows.as_ref(), &part, &key, latest.as_ref()).unwrap();
            assert_balanced(&merged, &part);
            rows = Some(merged.rows);
            from += length;
        }
        assert!(rows.unwrap().equals_missing(&once.rows), "round {round}");
        // Merging the same rows again changes nothing.
        let again = merge(Some(&once.rows), &all, &key, latest.as_ref()).unwrap();
        assert_balanced(&again, &all);
        assert!(again.rows.equals_missing(&once.rows));
        if latest.is_some() {
            assert_eq!((again.written, again.updated), (0, 0));
        }
    }
}

#[test]
fn every_incoming_row_is_accounted_for() {
    let existing = df!("id" => [1i64, 2, 3], "at" => [5i64, 5, 5], "v" => ["a", "b", "c"]).unwrap();
    let incoming = df!(
        "id" => [1i64, 1, 2, 3, 4, 4, 4],
        "at" => [4i64, 5, 5, 4, 1, 3, 3],
        "v" => ["old", "a", "B", "old", "x", "y", "z"]
    )
    .unwrap();
    let latest = "at".parse().unwrap();
    let merged = merge(Some(&existing), &incoming, &names(&["id"]), Some(&latest)).unwrap();
    let expected = df!("id" => [1i64, 2, 3, 4], "at" => [5i64, 5, 5, 3], "v" => ["a", "B", "c", "z"]).unwrap();
    assert!(merged.rows.equals(&expected), "{}", merged.rows);
    assert_eq!((merged.written, merged.updated, merged.unchanged, merged.deduplicated), (1, 1, 1, 4));
}

#[test]
fn empty_frames_are_merged() {
    let empty = df!("id" => Vec::<i64>::new()).unwrap();
    let merged = merge(Some(&empty), &empty, &names(&["id"]), None).unwrap();
    assert_eq!((merged.rows.height(), merged.written), (0, 0));
}

#[test]
fn frames_with_different_columns_are_refused() {
    let left = df!("id" => [1i64]).unwrap();
    let right = df!("id" => ["1"]).unwrap();
    assert!(matches!(merge(Some(&left), &right, &names(&["id"]), None), Err(FrameError::Schema { .. })));
    assert!(matches!(merge(None, &left, &names(&["no"]), None), Err(FrameError::NoColumn(_))));
    assert!(matches!(merge(None, &left, &[], None), Err(FrameError::NoKey)));
}

#[test]
fn merging_by_bucket_gives_the_same_rows() {
    let mut next = random(9);
    let all = frame(400, &mut next);
    let key = names(&["id", "part"]);
    let latest = "at".parse().unwrap();
    let once = merge(None, &all, &key, Some(&latest)).unwrap().rows;
    let mut parts: Option<DataFrame> = None;
    for part in bucket(&all, &key, 3).unwrap() {
        let rows = merge(None, &part, &key, Some(&latest)).unwrap().rows;
        parts = Some(parts.map_or(rows.clone(), |parts| parts.vstack(&rows).unwrap()));
    }
    let options = SortMultipleOptions::default();
    assert!(parts.unwrap().sort(["id", "part"], options).unwrap().equals_missing(&once));
}
