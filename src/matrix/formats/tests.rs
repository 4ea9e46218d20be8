use proptest::prelude::*;

use super::*;

fn allowed(document: &Document) -> Vec<Vec<u8>> {
    crate::matrix::cover::product(&document.model().unwrap()).collect()
}

#[test]
fn casa_models_have_clauses_over_numbered_values() {
    let document = casa("2\n3\n2 3 2\n", Some("2\n2\n- 0 - 4\n2\n+ 5 + 2\n")).unwrap();
    assert_eq!(document.strength, Some(2));
    let rows = allowed(&document);
    assert_eq!(rows.len(), 7);
    assert!(rows.iter().all(|row| !(row[0] == 0 && row[1] == 2) && (row[2] == 0 || row[1] == 0)));
}

#[test]
fn casa_problems_have_places() {
    let problems = casa("2\n2\n2 2", Some("1\n2\n- 0 - 9\n")).unwrap_err();
    let place = |line, column| Place { line, column };
    assert_eq!(problems, [Problem::new(place(3, 7), "there is no value 9; the last one is 3")]);
    assert_eq!(casa("2\n2\n2", None).unwrap_err()[0].place, place(3, 2));
    assert_eq!(casa("2\n1\n  65", None).unwrap_err()[0].place, place(3, 3));
}

#[test]
fn medici_constraints_are_postfix() {
    let document = medici("2\n3\n2 2 2\n2\n0 - 2 - +\n1 3 * 4 +\n").unwrap();
    let rows = allowed(&document);
    let holds = |row: &&Vec<u8>| !(row[0] == 0 && row[1] == 0) && (row[0] == 1 && row[1] == 1 || row[2] == 0);
    assert_eq!(rows.len(), rows.iter().filter(holds).count());
    assert_eq!(rows.len(), 4);
    let problems = medici("2\n1\n2\n2\n0 +\n7\n").unwrap_err();
    assert_eq!(places(&problems), [(5, 3), (6, 1)]);
}

const PICT: &str = "\
# A comment
Size:  1, 10, 100, ~-1
Type:  Single, Spanned | Striped (5), RAID-5
System: FAT, FAT32, NTFS
Copy: <System>, other

{ Size, Type, System } @ 3

IF [System] = \"fat\" THEN [Size] <= 10;
IF [Type] IN {\"spanned\", \"RAID-5\"} AND NOT [Size] = 1
  THEN [System] LIKE \"N*\" ELSE [Copy] <> [System];
";

#[test]
fn pict_models_have_weights_aliases_negatives_groups_and_constraints() {
    let document = pict(PICT).unwrap();
    let levels: Vec<usize> = document.parameters.iter().map(|parameter| parameter.values.len()).collect();
    assert_eq!(levels, [4, 3, 3, 4]);
    assert_eq!(document.weights()[1], [1, 5, 1]);
    assert_eq!(document.invalid()[0], [false, false, false, true]);
    assert_eq!(document.groups, [Requirement { parameters: vec![0, 1, 2], strength: 3 }]);
    let sizes = [1, 10, 100, -1];
    let all = (0..4_u8).flat_map(|a| (0..3_u8).map(move |b| (a, b)));
    let all = all.flat_map(|(a, b)| (0..3_u8).flat_map(move |c| (0..4_u8).map(move |d| vec![a, b, c, d])));
    let expected: Vec<Vec<u8>> = all
        .filter(|row| {
            let size = sizes[usize::from(row[0])];
            let first = row[2] != 0 || size <= 10;
            let condition = row[1] > 0 && size != 1;
            first && if condition { row[2] == 2 } else { row[3] != row[2] }
        })
        .collect();
    assert_eq!(allowed(&document), expected);
}

#[test]
fn pict_problems_are_all_told_with_their_places() {
    let text = "A: 1, 2\nA: 3\nB\n{ A, C } @ 2\n\nIF [A] = 1\nTHEN [X] = 2;\n[A] ! 3;";
    assert_eq!(places(&pict(text).unwrap_err()), [(2, 1), (3, 1), (4, 6), (8, 5)]);
    let text = "A: 1, 2\nIF [A] = 1\nTHEN [X] = 2;\n[A] = 3 4;\n";
    assert_eq!(places(&pict(text).unwrap_err()), [(3, 6), (4, 9)]);
    assert_eq!(places(&pict("A: 1, 2\nÄ: ü,  , x\n").unwrap_err()), [(2, 6)]);
}

/// What PICT 3.7.4 refuses or leaves out, and what it reads otherwise than one would think.
#[test]
fn pict_compares_like_with_like() {
    let wrong = |constraint: &str| {
        let text = format!("N: 1, 0x10, 3\nT: 1, x, y|z\nW: 5 (0), 6\n{constraint}");
        pict(&text)
            .map(|document| allowed(&document).len())
            .map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
    };
    insta::assert_snapshot!(wrong("[N] = \"1\";").unwrap_err());
    insta::assert_snapshot!(wrong("IF [T] = 1 THEN [N] = 1;").unwrap_err());
    insta::assert_snapshot!(wrong("[T] = \"x\"; [N] LIKE \"1*\";").unwrap_err());
    insta::assert_snapshot!(wrong("[N] = [T];").unwrap_err());
    insta::assert_snapshot!(wrong("[W] = 5;").unwrap_err());
    assert_eq!(wrong("[N] = 16;"), Ok(6));
    // A second name is one to show, not one to compare with.
    assert_eq!(wrong("[T] = \"z\";"), Ok(0));
    assert_eq!(wrong("[T] LIKE \"z\" OR [N] = 1;"), Ok(6));
    assert_eq!(wrong("[W] <> \"5 (0)\";"), Ok(9));
}

#[test]
fn pict_names_may_have_escaped_signs_and_functions_bare_ones() {
    let document = pict(
        "A b: \"x\", y, ~z\nC: 1, 2\nIF [A b] = \"\\\"x\\\"\" THEN [C] = 1;\nIF IsNegative(A b) THEN [C] = 2;",
    );
    assert_eq!(allowed(&document.unwrap()), [[0, 0], [1, 0], [1, 1], [2, 1]]);
}

fn places(problems: &[Problem]) -> Vec<(usize, usize)> {
    problems.iter().map(|problem| (problem.place.line, problem.place.column)).collect()
}

#[test]
fn levels_are_powers() {
    let document = levels("4^2 3 2^3").unwrap();
    assert_eq!(document.model().unwrap().levels(), [4, 4, 3, 2, 2, 2]);
    assert!(levels("4^x").is_err());
    assert!(levels("0^1").is_err());
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("A: 1, 2\n{}[A] = 1;", "(".repeat(100_000));
    assert!(pict(&deep).is_err());
    let deep = format!("2\n2\n2 2\n1\n0 {}", "2 + 0 * ".repeat(10_000));
    assert!(medici(&deep).is_err());
}

fn no_panic(text: &str) {
    let read =
        [casa(text, Some(text)), casa("2\n2\n2 2", Some(text)), medici(text), pict(text), levels(text)];
    for document in read.into_iter().flatten() {
        document.model().unwrap();
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*", more in "[0-9 +*\\n-]{0,60}") {
        no_panic(&text);
        no_panic(&more);
        no_panic(&format!("2\n3\n2 2 2\n4\n{more}"));
        no_panic(&format!("A: 1, 2\nB: x, y\n[A] = {text}"));
    }

    #[test]
    fn arbitrary_constraints_never_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "IF", "THEN", "ELSE", "[A]", "[B]", "[C]", "=", "<>", ">", "(", ")", "{", "}", ",", ";", "IN", "LIKE",
                "NOT", "AND", "OR", "\"x\"", "\"*\"", "1", "2.5", "\n", "#", "ISNEGATIVE", "@", ":", "é",
            ]),
            0..40,
        )
    ) {
        no_panic(&format!("A: 1, 2\nB: x, ~y\nC: 1, 3\n[A] {}", words.join(" ")));
        no_panic(&words.join(" "));
    }
}
