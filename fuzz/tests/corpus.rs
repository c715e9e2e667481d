//! Every seed and every past finding, through its target, as a plain test.

use std::fs;
use std::path::Path;

fn run(target: &str, check: fn(&[u8])) {
    let mut count = 0;
    for folder in ["corpus", "findings"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            println!("{}", path.display());
            check(&fs::read(&path).unwrap());
            count += 1;
        }
    }
    assert!(count > 0, "no corpus for {target}");
}

#[test]
fn segment() {
    run("segment", minitcp_fuzz::segment);
}

#[test]
fn stack() {
    run("stack", minitcp_fuzz::stack);
}

#[test]
fn pair() {
    run("pair", minitcp_fuzz::pair);
}

#[test]
fn script() {
    run("script", minitcp_fuzz::script);
}
