//! What records have that the contract does not, and what they have in arrays, in however many parts.

use super::*;

#[test]
fn what_is_unknown_is_counted_once_in_however_many_parts() {
    let shop = Shop::new(BAG);
    for file in 1..=6 {
        let rows = (0..40).map(|row| format!("{row},2025-0{file}-01,1,1,,{}\n", if row % 2 == 0 { "x" } else { "" }));
        let text = format!("id,sold_on,edition,amount,note,new{}\n{}", file % 3, rows.collect::<String>());
        std::fs::write(shop.path(&format!("in/{file}.csv")), text).unwrap();
    }
    let one = Reader::new(&shop, Backend::Memory, ROOMY, None);
    let parts = Reader::new(&shop, Backend::Memory, TIGHT, Some(2));
    let told = [&one, &parts].map(|reader| {
        reader.invoke(&StepId::Ingest, 0, None);
        let (record, parts) = reader.walk(&StepId::Clean);
        (record.drift, record.notes, parts)
    });
    assert_eq!((told[0].0.len(), told[0].2), (3, 1));
    assert!(told[1].2 > 2, "in {} parts", told[1].2);
    assert_eq!((&told[1].0, &told[1].1), (&told[0].0, &told[0].1));
}

#[test]
fn children_made_in_parts_are_the_same() {
    let explode = "explode.lines = { column = 'note', columns = { sku = 'string', n = 'int64' } }";
    for contract in [KEYED.to_owned(), "key = ['id']\npartition_by = 'note'".to_owned()] {
        let shop = Shop::new(&format!("{contract}\n{explode}"));
        let sell = |file: usize, edition: usize| {
            let line = |row: usize| {
                let id = if row.is_multiple_of(5) { row } else { row + 1000 * file };
                let lines =
                    (0..(row + edition) % 3).map(|n| format!("{{\"\"sku\"\":\"\"{}\"\",\"\"n\"\":{n}}}", row % 4));
                let lines = lines.collect::<Vec<_>>().join(",");
                format!("{id},2025-0{}-01,{edition},1,\"[{lines}]\"\n", 1 + (row + file + edition) % 8)
            };
            let text = "id,sold_on,edition,amount,note\n".to_owned() + &(0..60).map(line).collect::<String>();
            std::fs::write(shop.path(&format!("in/{file}.csv")), text).unwrap();
        };
        let one = Reader::new(&shop, Backend::Memory, ROOMY, None);
        let parts = Reader::new(&shop, Backend::Memory, TIGHT, Some(2));
        for (morning, files) in [&[(1, 0), (2, 0)][..], &[(2, 1), (3, 1)]].into_iter().enumerate() {
            files.iter().for_each(|(file, edition)| sell(*file, *edition));
            for step in [StepId::Ingest, StepId::Clean, StepId::Model("lines".parse().unwrap())] {
                assert_eq!(one.walk(&step).1, 1);
                let (record, done) = parts.walk(&step);
                assert_eq!(record.status, Status::Done, "{record:#?}");
                assert!(
                    !matches!(step, StepId::Model(_)) || done > 1,
                    "{contract}, morning {morning}: {step} in {done}"
                );
            }
            assert_eq!(parts.standing("lines"), one.standing("lines"), "{contract}, morning {morning}");
            assert!(!one.standing("lines").files.is_empty());
        }
    }
}
