//! Which file of a crate names what of which other file?
//!
//! A name that a file only passes on (`pub use` of what lies below it) is no arrow, and whoever
//! takes it from there points at the file where it lives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Source, sources};

/// The files of a crate's library, and who names whom.
pub(crate) struct Crate {
    files: BTreeMap<String, Source>,
    pub(crate) arrows: Vec<Arrow>,
}

/// One name in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) line: usize,
    pub(crate) to: String,
}

/// One name that a `use` brings in: from where, and whether it only passes it on.
struct Import {
    line: usize,
    path: String,
    name: String,
    passes_on: bool,
}

impl Crate {
    /// Reads `src/` without tests and binaries.
    pub(crate) fn read(folder: &Path) -> Self {
        let src = folder.join("src");
        let is_library = |source: &Source| {
            let below = source.path.strip_prefix(&src).unwrap();
            !below.components().any(|part| {
                ["bin", "tests", "tests.rs"].map(AsRef::as_ref).contains(&part.as_os_str())
            })
        };
        let files = sources(&src).into_iter().filter(is_library);
        Self::new(files.map(|source| (module_of(&src, &source), source)).collect())
    }

    fn new(files: BTreeMap<String, Source>) -> Self {
        let mut found = Self { files, arrows: Vec::new() };
        let imports: BTreeMap<&str, Vec<Import>> = found
            .files
            .iter()
            .map(|(module, source)| (module.as_str(), found.imports(module, source)))
            .collect();
        let mut arrows = Vec::new();
        for (module, source) in &found.files {
            let used = imports[module.as_str()].iter().filter(|import| !import.passes_on);
            let used = used.map(|import| (import.line, import.path.clone()));
            for (line, path) in used.chain(found.inline(module, source)) {
                let to = found.home(&imports, &path, 8);
                if to != *module {
                    arrows.push(Arrow { from: module.clone(), line, to });
                }
            }
        }
        found.arrows = arrows;
        found
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(crate) fn source(&self, module: &str) -> &Source {
        &self.files[module]
    }

    /// Every group of files of which each names each other, perhaps over others.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let reached = |from: &str| {
            let mut reached = BTreeSet::new();
            let mut open = vec![from.to_owned()];
            while let Some(module) = open.pop() {
                let next = self.arrows.iter().filter(|arrow| arrow.from == module);
                open.extend(
                    next.map(|arrow| arrow.to.clone()).filter(|to| reached.insert(to.clone())),
                );
            }
            reached
        };
        let all: BTreeMap<&str, BTreeSet<String>> =
            self.modules().map(|module| (module, reached(module))).collect();
        let with = |module: &str| {
            let both = |other: &&str| all[module].contains(*other) && all[*other].contains(module);
            self.modules().filter(both).collect::<Vec<_>>()
        };
        let groups: BTreeSet<Vec<&str>> = self.modules().map(with).collect();
        groups.into_iter().filter(|group| !group.is_empty()).collect()
    }

    /// What the `use` lines of a file bring in from its crate.
    fn imports(&self, module: &str, source: &Source) -> Vec<Import> {
        let mut imports = Vec::new();
        for (line, visibility, tree) in use_lines(source) {
            let mut leaves = Vec::new();
            expand("", tree.as_str(), &mut leaves);
            for (path, name) in leaves {
                let Some(path) = self.absolute(module, &path) else { continue };
                let below = module.is_empty() || path.starts_with(&format!("{module}::"));
                let passes_on = visibility && below && mentions(source, &name) < 2;
                imports.push(Import { line, path, name, passes_on });
            }
        }
        imports
    }

    /// Every `crate::a::b`, `super::b` and `child::b` outside of `use` lines.
    fn inline(&self, module: &str, source: &Source) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, line) in source.statements().filter(|(_, line)| is_use(line).is_none()) {
            // `pub(in a)` says who may name, and names nobody.
            let scope = line.find("pub(in ").map(|at| at..at + line[at..].find(')').unwrap_or(0));
            let mut at = 0;
            while let Some(start) = line[at..].find(is_word).map(|start| at + start) {
                let rest = &line[start..];
                let path = &rest[..rest.find(|c| !is_word(c) && c != ':').unwrap_or(rest.len())];
                at = start + path.len();
                let is_scope = scope.as_ref().is_some_and(|scope| scope.contains(&start));
                if path.contains("::") && !is_scope && !line[..start].ends_with(['$', '"']) {
                    let path = self.absolute(module, path.trim_end_matches(':'));
                    found.extend(path.map(|path| (number, path)));
                }
            }
        }
        found
    }

    /// The path from the root of the crate; `None` if it leads elsewhere.
    fn absolute(&self, module: &str, path: &str) -> Option<String> {
        let mut at = module.to_owned();
        let mut parts = path.split("::").peekable();
        match *parts.peek()? {
            "crate" => (at, _) = (String::new(), parts.next()),
            "self" => _ = parts.next(),
            "super" => {
                while parts.next_if_eq(&"super").is_some() {
                    at.truncate(at.rfind("::").unwrap_or(0));
                }
            }
            name if self.files.contains_key(&join(module, name)) => {}
            _ => return None,
        }
        Some(parts.fold(at, |at, part| join(&at, part)))
    }

    /// The file where `path` lives, past all that only pass it on.
    fn home(&self, imports: &BTreeMap<&str, Vec<Import>>, path: &str, hops: u32) -> String {
        let mut module = path;
        while !self.files.contains_key(module) && !module.is_empty() {
            module = &module[..module.rfind("::").unwrap_or(0)];
        }
        let rest = path[module.len()..].trim_start_matches("::");
        let name = rest.split("::").next().unwrap_or("");
        let passed = imports[module].iter().find(|import| !name.is_empty() && import.name == name);
        match passed {
            Some(import) if hops > 0 => self.home(imports, &import.path, hops - 1),
            _ => module.to_owned(),
        }
    }
}

/// `tcp::send::rtt` for `src/tcp/send/rtt.rs`, and nothing for `src/lib.rs`.
fn module_of(src: &Path, source: &Source) -> String {
    let below = source.path.strip_prefix(src).unwrap();
    let name = below.with_extension("").display().to_string().replace('/', "::");
    let name = name.strip_suffix("::mod").unwrap_or(&name);
    if name == "lib" { String::new() } else { name.to_owned() }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How often a file says a word.
fn mentions(source: &Source, name: &str) -> usize {
    let words = |line: &str| line.split(|c| !is_word(c)).filter(|word| *word == name).count();
    source.statements().map(|(_, line)| words(line)).sum()
}

/// What follows `use` in a line that begins one, and whether others see it.
fn is_use(line: &str) -> Option<(bool, &str)> {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix("use ") {
        return Some((false, rest));
    }
    let rest = line.strip_prefix("pub")?;
    let rest = if rest.starts_with('(') { &rest[rest.find(')')? + 1..] } else { rest };
    Some((true, rest.strip_prefix(" use ")?))
}

/// The trees of all `use` declarations, with their lines and whether others see them.
fn use_lines(source: &Source) -> Vec<(usize, bool, String)> {
    let mut found: Vec<(usize, bool, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in source.statements() {
        match (is_open, is_use(line)) {
            (true, _) => found.last_mut().unwrap().2.push_str(line.trim()),
            (false, Some((visible, rest))) => found.push((number, visible, rest.to_owned())),
            (false, None) => continue,
        }
        is_open = !line.contains(';');
    }
    found
}

/// The leaves of a tree `a::{b, c::d as e}`: their paths, and the names that they get.
fn expand(prefix: &str, tree: &str, leaves: &mut Vec<(String, String)>) {
    let tree = tree.trim().trim_end_matches(';');
    let Some((head, rest)) = tree.split_once('{') else {
        let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let path = if path == "self" { prefix.to_owned() } else { join(prefix, path) };
        let own = path.rsplit("::").next().unwrap_or("");
        let name = if alias.is_empty() { own } else { alias };
        leaves.push((path.clone(), name.to_owned()));
        return;
    };
    let prefix = join(prefix, head.trim_end_matches("::"));
    let inner = &rest[..rest.rfind('}').unwrap_or(rest.len())];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    expand(&prefix, &inner[start..at], leaves);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

#[test]
fn names_are_followed_to_where_they_live() {
    let read = |files: &[(&str, &str)]| {
        let source = |(module, text): &(&str, &str)| {
            let source = Source { path: module.into(), text: (*text).to_owned() };
            ((*module).to_owned(), source)
        };
        let found = Crate::new(files.iter().map(source).collect());
        found.circles().into_iter().flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    let passes_on = "mod child;\nmod other;\npub use child::Thing;\n";
    for (parent, text, other, circle) in [
        // Who passes on what lies below it names nothing; who uses it, does.
        (passes_on, "use super::Other;", "", ""),
        ("pub use child::Thing;\nfn f(_: Thing) {}", "use super::Other;", "", "a a::child"),
        ("use child::{self, Thing as T};", "fn f(_: super::Other) {}", "", "a a::child"),
        ("fn f() { child::g() }", "use crate::a::Other;", "", "a a::child"),
        // Through the parent it is each other that they name.
        (passes_on, "use super::other::Other;", "use crate::a::Thing;", "a::child a::other"),
        (
            passes_on,
            "use super::{\n    other::{Other},\n};",
            "use super::Thing;",
            "a::child a::other",
        ),
        // Comments, tests, visibility and other crates are no arrows.
        (
            passes_on,
            "use super::other::Other;",
            "// crate::a::child\nmod tests {\nuse super::Thing;",
            "",
        ),
        (passes_on, "use super::other::Other;", "pub(in crate::a::child) struct Other;", ""),
        (passes_on, "use super::other::Other;", "use child::Thing;", ""),
    ] {
        let found = read(&[("", "mod a;"), ("a", parent), ("a::child", text), ("a::other", other)]);
        assert_eq!(found.join(" "), circle, "{parent} | {text} | {other}");
    }
}
