//! Is the house in order? Style as a test: layers, lengths, and words that must not appear.
//!
//! A file that must be longer says why in a line that starts with `// Long because`.

mod arrows;
mod floors;
mod mechanisms;

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code in a file, tests, comments and blank lines not counted.
const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_COLUMNS: usize = 100;

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The lines before the unit tests, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_tests = |line: &str| line.starts_with("mod tests {");
        let whole_file_is_tests = self.path.ends_with("tests.rs");
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .take_while(move |(_, line)| !whole_file_is_tests && !is_tests(line))
    }

    /// As `code`, without comments.
    fn statements(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn sources(below: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![below.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn workspace() -> Vec<Source> {
    ["minitcp-proto", "minitcp-driver-sim", "minitcp-driver-tun", "minitcp-sockets", "apps", "fuzz"]
        .iter()
        .flat_map(|name| sources(&root().join(name)))
        .collect()
}

/// Shows all complaints at once.
fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn complain(source: &Source, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", source.path.strip_prefix(root()).unwrap().display())
}

#[test]
fn files_functions_and_lines_are_short() {
    let mut complaints = Vec::new();
    for source in workspace() {
        let long_for_a_reason = source.text.contains("// Long because");
        let lines = source.statements().filter(|(_, line)| !line.trim().is_empty()).count();
        if lines > MAX_FILE_LINES && !long_for_a_reason {
            complaints.push(complain(&source, 1, &format!("{lines} lines of code")));
        }
        for (number, line) in source.code() {
            if line.chars().count() > MAX_COLUMNS && !line.contains("http") {
                complaints.push(complain(&source, number, "wider than 100 columns"));
            }
        }
        for (start, length) in functions(&source) {
            if length > MAX_FUNCTION_LINES && !long_for_a_reason {
                complaints.push(complain(&source, start, &format!("function of {length} lines")));
            }
        }
    }
    report(complaints);
}

/// Start and length of every function, by the indentation that rustfmt guarantees.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in source.code() {
        match &open {
            None => {
                let indent: String = line.chars().take_while(|c| *c == ' ').collect();
                let words = line.trim_start();
                let is_function = words.starts_with("fn ")
                    || (words.starts_with("pub") || words.starts_with("const fn"))
                        && words.contains("fn ")
                        && !words.contains("//");
                if is_function && !line.trim_end().ends_with([';', '}']) {
                    open = Some((number, format!("{indent}}}")));
                }
            }
            Some((start, close)) if line == close => {
                found.push((*start, number - start + 1));
                open = None;
            }
            Some(_) => {}
        }
    }
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    let complaints = workspace()
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| complain(source, 1, "does not begin with //!"))
        .collect();
    report(complaints);
}

#[test]
fn the_core_cannot_panic_by_word() {
    let banned = [".unwrap()", ".expect(", "panic!", "unreachable!", " assert!(", "todo!"];
    let mut complaints = Vec::new();
    for source in sources(&root().join("minitcp-proto/src")) {
        for (number, line) in source.statements() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                complaints.push(complain(&source, number, word));
            }
        }
    }
    report(complaints);
}

#[test]
fn unsafe_lives_in_sys_files_only() {
    let mut complaints = Vec::new();
    for source in workspace() {
        let allowed = source.path.ends_with("sys.rs");
        for (number, line) in source.statements() {
            let words = ["unsafe {", "unsafe fn", "unsafe extern", "unsafe impl", "#[unsafe("];
            let uses = words.iter().any(|words| line.contains(words));
            if uses && !allowed && !source.path.to_string_lossy().contains("/tests/") {
                complaints.push(complain(&source, number, "unsafe outside of a sys.rs"));
            }
        }
    }
    report(complaints);
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled in two halves so that this file does not complain of itself.
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let mut complaints = Vec::new();
    for source in workspace() {
        for (number, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                complaints.push(complain(&source, number + 1, "left for later"));
            }
        }
    }
    report(complaints);
}

#[test]
fn crates_depend_downwards_only() {
    let arrows = [
        ("minitcp-proto", &[][..]),
        ("minitcp-driver-sim", &["minitcp-proto"]),
        ("minitcp-driver-tun", &["minitcp-proto"]),
        ("minitcp-sockets", &["minitcp-proto"]),
        ("apps", &["minitcp-proto", "minitcp-driver-sim", "minitcp-driver-tun", "minitcp-sockets"]),
    ];
    let mut complaints = Vec::new();
    for (name, allowed) in arrows {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let after = manifest.split("\n[dependencies]").nth(1).unwrap_or("");
        let section = after.split("\n[").next().unwrap_or("");
        for line in section.lines().filter(|line| line.starts_with("minitcp-")) {
            let end = line.find(|c: char| !(c.is_alphanumeric() || c == '-')).unwrap();
            // The library for C brings its device along; Rust programs choose their own.
            let for_c = name == "minitcp-sockets"
                && line == "minitcp-driver-tun = { workspace = true, optional = true }"
                && manifest.contains("\ncapi = [\"dep:minitcp-driver-tun\"]");
            if !allowed.contains(&&line[..end]) && !for_c {
                complaints.push(format!("{name} -> {}", &line[..end]));
            }
        }
    }
    report(complaints);
}

/// The code blocks of a page, each as its lines without indentation.
fn quotations(page: &str) -> Vec<Vec<&str>> {
    let blocks = page.split("```rust\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap_or("").lines().map(str::trim).collect())
        .collect()
}

#[test]
fn what_embedding_md_quotes_stands_in_an_example() {
    let page = fs::read_to_string(root().join("docs/embedding.md")).unwrap();
    let examples = sources(&root().join("minitcp-proto/examples"));
    let stands = |quotation: &Vec<&str>| {
        examples.iter().any(|example| {
            let lines: Vec<&str> = example.text.lines().map(str::trim).collect();
            lines.windows(quotation.len()).any(|window| window == quotation)
        })
    };
    let quotations = quotations(&page);
    assert!(quotations.len() >= 5, "the page has lost its quotations");
    let stale = quotations.iter().filter(|quotation| !stands(quotation));
    let complaints = stale.map(|lines| format!("docs/embedding.md: {}", lines.join("\n")));
    report(complaints.collect());
    let lengths = examples.iter().map(|example| (example, example.text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines >= 120);
    report(long.map(|(example, _)| complain(example, 120, "an example under 120 lines")).collect());
}
