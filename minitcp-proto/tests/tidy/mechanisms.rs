//! Does the table of `docs/loss-recovery.md` name tests that exist?

use std::fs;

use super::{report, root, workspace};

#[test]
fn each_mechanism_of_loss_recovery_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/loss-recovery.md")).unwrap();
    let (_, table) = page.split_once("\n| mechanism | RFC | test |\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).skip(1).collect();
    assert!(rows.len() > 20, "only {} rows: is this test looking?", rows.len());
    let code: Vec<String> = workspace().into_iter().map(|source| source.text).collect();
    let is_test = |name: &str| {
        let heads = ["", "    "].map(|indent| format!("{indent}#[test]\n{indent}fn {name}("));
        code.iter().any(|text| heads.iter().any(|head| text.contains(head.as_str())))
    };
    let scripts = root().join("minitcp-driver-sim/tests/scripts");
    let mut complaints = Vec::new();
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            complaints.push(format!("no test: {row}"));
        }
        for test in tests {
            let exists =
                if test.ends_with(".pkt") { scripts.join(test).is_file() } else { is_test(test) };
            if !exists {
                complaints.push(format!("there is no test {test}: {row}"));
            }
        }
    }
    report(complaints);
}
