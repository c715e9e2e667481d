//! Does `docs/hostile.md` name tests and rows that exist, and each row of `bench.sh hostile`?

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust source below `folder`.
fn sources(folder: &Path, text: &mut String) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What stands between two marks, in the last cell of each row.
fn named(page: &str, mark: char) -> Vec<&str> {
    let rows =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| resource"));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    cells.flat_map(|cell| cell.split(mark).skip(1).step_by(2)).collect()
}

#[test]
fn the_page_of_hostile_peers_names_what_exists() {
    let page = fs::read_to_string(root().join("docs/hostile.md")).unwrap();
    let mut code = String::new();
    let driven = ["minitcp-driver-tun", "minitcp-driver-sim", "minitcp-sockets", "apps"];
    for part in ["minitcp-proto"].iter().chain(&driven) {
        sources(&root().join(part), &mut code);
    }
    let attacks = "scripts/bench-peers/src/bin/mini_hostile/attacks.rs";
    let attacks = fs::read_to_string(root().join(attacks)).unwrap();
    let rows = || attacks.split('"').skip(1).step_by(2).filter(|text| text.len() > 1);
    let tests = named(&page, '`');
    assert!(tests.len() > 80, "only {} tests named: is this test looking?", tests.len());
    for test in tests.iter().filter(|name| !name.contains(['/', ' '])) {
        assert!(code.contains(&format!("fn {test}(")), "there is no test {test}");
    }
    let cited = named(&page, '*');
    for row in &cited {
        assert!(rows().any(|name| name == *row), "there is no row {row}");
    }
    for row in rows().filter(|row| *row != "nothing") {
        assert!(cited.contains(&row), "the page does not cite {row}");
    }
}
