#!/usr/bin/env python3
"""Does a test fail when the code is broken? Mutation tests of minitcp-proto.

usage: scripts/mutants.py rows [WORD...]        the list in scripts/mutants/rows.txt
       scripts/mutants.py sample [COUNT [SEED]]  so many of all that can be made of src/tcp and
                                                 src/stack, drawn with that seed (100, 1)

WORD chooses the entries in whose heading it stands. The working tree is copied to
target/mutants/tree and stays as it is. There, each function has all of its mutants beside its
own body, and the environment variable MUTANT says which one runs: so all are built at once. An
entry whose text is not in its function any more, or that does not build, is named at the end.
target/mutants/{rows,sample}.tsv has what became of each, and which test caught it.
"""

import collections, json, os, pathlib, queue, random, re, subprocess, sys, threading, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "target" / "mutants"
TREE = OUT / "tree"
PROTO, SIM = "minitcp-proto", "minitcp-driver-sim"
# Package, target, and arguments: what is fast and catches much comes first.
SUITES = [
    (SIM, "scripts", ["the_stack_does_what_the_scripts_say"]),
    (PROTO, "minitcp_proto", ["--skip", "a_million"]),
    (SIM, "edges", []),
    (PROTO, "exchange", []),
    (PROTO, "hostile", ["--skip", "a_million"]),
]
SWITCH = """
extern crate std as std_of_mutants;
pub(crate) mod mutant {
    use super::std_of_mutants::{env, sync::OnceLock};
    pub(crate) fn on(number: u32) -> bool {
        static CHOSEN: OnceLock<u32> = OnceLock::new();
        let chosen = || env::var("MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        *CHOSEN.get_or_init(chosen) == number
    }
}
"""
FN = re.compile(r"^( *)((?:pub(?:\([a-z]+\))? )?)(const )?fn (\w+)")

Function = collections.namedtuple("Function", "name first body last")  # Indices of lines.


class Mutant:
    def __init__(self, name, file, function, body, what):
        self.name, self.file, self.function = name, file, function
        self.body, self.what, self.number, self.fate, self.by = body, what, 0, "", ""


def functions(lines):
    """All functions of a file that rustfmt has seen, but for its tests."""
    found = []
    for first, line in enumerate(lines):
        if line.startswith("#[cfg(test)]") and "mod tests" in lines[first + 1]:
            break
        match = FN.match(line)
        if not match or line.endswith(("}", ";")):
            continue
        body = next(at for at in range(first, len(lines)) if lines[at].endswith(("{", ";"))) + 1
        if lines[body - 1].endswith(";"):
            continue
        last = next(at for at in range(body, len(lines)) if lines[at] == match[1] + "}")
        found.append(Function(match[4], first, body, last))
    return found


def listed(words):
    """The mutants of rows.txt; and why an entry makes none."""
    mutants, stale = [], []
    text = (ROOT / "scripts/mutants/rows.txt").read_text()
    for entry in re.split(r"\n\s*\n", text):
        lines = [line for line in entry.splitlines() if line and not line.startswith("#")]
        if not lines or not all(word in lines[0] for word in words):
            continue
        ids, _, place = lines[0].rpartition(" ")
        path, _, name = place.partition("::")
        file = f"{PROTO}/src/{path}.rs"
        old = " ".join(line[2:].strip() for line in lines[1:] if line.startswith("-"))
        new = "\n".join(line[2:] for line in lines[1:] if line.startswith("+"))
        pattern = re.compile(r"\s+".join(map(re.escape, old.split())))
        hits = []
        if (ROOT / file).exists():
            source = (ROOT / file).read_text().splitlines()
            for function in functions(source):
                body = "\n".join(source[function.body : function.last])
                if function.name == name:
                    hits += [(function, body, match) for match in pattern.finditer(body)]
        if len(hits) != 1:
            stale.append(f"{lines[0]}: {len(hits)} places for: {old}")
            continue
        function, body, match = hits[0]
        body = body[: match.start()] + new + body[match.end() :]
        mutants.append(Mutant(ids, file, function, body, f"{old} => {' '.join(new.split())}"))
    return mutants, stale


SWAPS = {
    " == ": [" != "], " != ": [" == "], " < ": [" <= ", " > "], " <= ": [" < "],
    " > ": [" >= ", " < "], " >= ": [" > "], " && ": [" || "], " || ": [" && "],
    " + ": [" - "], " - ": [" + "], " * ": [" + "], " / ": [" * "], " += ": [" -= "],
    " -= ": [" += "], ".before(": [".at_or_before("], ".at_or_before(": [".before("],
    ".after(": [".at_or_after("], ".at_or_after(": [".after("], ".min(": [".max("],
    ".max(": [".min("], ".saturating_add(": [".saturating_sub("], "true": ["false"],
    "false": ["true"], ".is_some()": [".is_none()"], ".is_none()": [".is_some()"],
}
SITE = re.compile(
    "|".join(re.escape(s) for s in SWAPS if not s.isalpha())
    + r"|\btrue\b|\bfalse\b|(?<=[ (])!(?=[a-z(])|(?<= if ).+(?= =>)"
)
VALUES = {"bool": ["true", "false"], "u8": ["0", "1"], "u16": ["0", "1"], "u32": ["0", "1"]}


def possible():
    """All mutants of one operator, guard, call or result in src/tcp and src/stack."""
    for folder in ("tcp", "stack"):
        for path in sorted((ROOT / PROTO / "src" / folder).rglob("*.rs")):
            source = path.read_text().splitlines()
            file = str(path.relative_to(ROOT))
            for function in functions(source):
                yield from mutants_of(file, source, function)


def mutants_of(file, source, function):
    body = source[function.body : function.last]
    place = f"{file}:{{}} {function.name}"

    def made(at, lines, what):
        return Mutant(place.format(at + 1), file, function, "\n".join(lines), what)

    for at, line in enumerate(body):
        code = line.split("//")[0]
        if "debug_assert" in code or "trace(" in code or "#[" in code:
            continue
        for match in SITE.finditer(code):
            old = match[0]
            values = SWAPS.get(old) or ([""] if old == "!" else ["true", "false"])
            for new in values:
                changed = line[: match.start()] + new + line[match.end() :]
                lines = body[:at] + [changed] + body[at + 1 :]
                yield made(function.body + at, lines, f"{line.strip()} => {changed.strip()}")
        if re.match(r"^ +[a-z][\w.]*(::\w+)*\(.*\);$", code) and "let " not in code:
            lines = body[:at] + body[at + 1 :]
            yield made(function.body + at, lines, f"without {line.strip()}")
    head = " ".join(source[function.first : function.body])
    result = re.search(r"-> (.+?) (?:where .*)?\{$", head)
    kind = result[1] if result else ""
    values = VALUES.get(kind, [""] if not kind else ["None"] if kind.startswith("Option<") else [])
    for value in values:
        yield made(function.first, [value], f"the whole of it: {value or 'nothing'}")


def write(path, text):
    """Only if it is another, so that cargo builds no more than it must."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != text:
        path.write_bytes(text)


def plant(mutants, unconst):
    """Writes the tree; where each mutant begins and ends there, as (file, first, last)."""
    sources = {}
    for name in subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            sources[name] = (ROOT / name).read_bytes()
    lib = f"{PROTO}/src/lib.rs"
    sources[lib] += SWITCH.encode()
    places = {}
    by_file = collections.defaultdict(list)
    for mutant in mutants:
        by_file[mutant.file].append(mutant)
    for file in set(by_file) | {file for file, _ in unconst}:
        lines, out, done = sources[file].decode().splitlines(), [], 0
        for function in functions(lines):
            here = [mutant for mutant in by_file[file] if mutant.function == function]
            if not here and (file, function.name) not in unconst:
                continue
            out += lines[done : function.first]
            out.append(FN.sub(r"\1\2fn \4", lines[function.first]))
            out += lines[function.first + 1 : function.body]
            for mutant in here:
                first = len(out)
                out.append(f"if crate::mutant::on({mutant.number}) {{")
                out += mutant.body.split("\n") + ["} else "]
                places[mutant.number] = (file, first + 1, len(out))
            out += (["{"] if here else []) + lines[function.body : function.last]
            out += ["}"] if here else []
            done = function.last
        sources[file] = "\n".join(out + lines[done:] + [""]).encode()
    for name, text in sources.items():
        write(TREE / name, text)
    return places


def cargo(command, packages, *arguments):
    packages = [word for package in packages for word in ("-p", package)]
    faster = [f"{PROTO}.debug=false", f"{SIM}.debug=false", f"{SIM}.opt-level=0"]
    faster = [word for it in faster for word in ("--config", f"profile.dev.package.{it}")]
    command = ["cargo", *command, "--locked", *faster, *packages]
    command += ["--message-format=json", *arguments]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target")}
    run = subprocess.run(command, cwd=TREE, env=environment, text=True, stdout=subprocess.PIPE)
    messages = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return run.returncode == 0, messages


def checked(mutants):
    """Plants the mutants, without those that do not build."""
    unconst, failed = set(), []
    while True:
        places = plant(mutants, unconst)
        good, messages = cargo(["check"], [PROTO], "--lib")
        if good:
            return mutants, failed
        spoilt, before = set(), len(unconst)
        errors = [m["message"] for m in messages if m.get("reason") == "compiler-message"]
        for error in (error for error in errors if error["level"] == "error"):
            for span in (span for span in error["spans"] if span["is_primary"]):
                file, line = span["file_name"], span["line_start"]
                code = (error["code"] or {}).get("code")
                if code == "E0015":  # A const function calls one that no longer is.
                    around = functions((TREE / file).read_text().splitlines())
                    unconst.update((file, it.name) for it in around if it.first < line <= it.last)
                else:
                    spoilt.update(number for number, (there, first, last) in places.items()
                                  if there == file and first <= line <= last)
        if not spoilt and len(unconst) == before:
            sys.exit("\n".join(error["rendered"] for error in errors if error["level"] == "error"))
        failed += [mutant for mutant in mutants if mutant.number in spoilt]
        mutants = [mutant for mutant in mutants if mutant.number not in spoilt]


def built():
    """The test programs, in the order of SUITES: (name, program, arguments, folder)."""
    programs = {}
    for package in dict.fromkeys(suite[0] for suite in SUITES):
        targets = [suite[1] for suite in SUITES if suite[0] == package]
        flags = [f for t in targets for f in (["--lib"] if t == "minitcp_proto" else ["--test", t])]
        good, messages = cargo(["test", "--no-run"], [package], *flags)
        if not good:
            sys.exit("the tests do not build")
        for message in messages:
            if message.get("executable") and message["profile"]["test"]:
                programs[package, message["target"]["name"]] = message["executable"]
    return [(name, programs[package, name], arguments, TREE / package)
            for package, name, arguments in SUITES]


def run(suite, number, limit):
    """The first test that fails with this mutant; None if all pass."""
    name, program, arguments, folder = suite
    environment = {**os.environ, "MUTANT": str(number), "CARGO_MANIFEST_DIR": str(folder)}
    child = subprocess.Popen([program, *arguments], cwd=folder, env=environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, errors="replace")
    lines = queue.Queue()
    reader = threading.Thread(
        target=lambda: ([lines.put(line) for line in child.stdout], lines.put(None)), daemon=True)
    reader.start()
    end = time.monotonic() + limit
    try:
        while True:
            line = lines.get(timeout=max(end - time.monotonic(), 0))
            if line is None:
                return None if child.wait() == 0 else f"{name}: it ends by itself"
            failed = re.match(r"test (\S+).* FAILED$", line.rstrip())
            if failed:
                return f"{name}::{failed[1]}"
    except queue.Empty:
        return f"{name}: no end"
    finally:
        child.kill()
        child.wait()


def print_table(mutants):
    """By RFC: of how many MUST and MUST NOT rows each mutant was caught, or one was not?"""
    with open(ROOT / "docs/conformance/requirements.tsv") as catalogue:
        words = [line.split("\t") for line in catalogue]
    rfcs = {row[0]: row[1] for row in words if row[3].startswith("MUST")}
    tried = {id: rfcs[id] for it in mutants for id in it.name.split(", ") if id in rfcs}
    spared = {id for it in mutants if not it.by for id in it.name.split(", ")}
    for rfc in sorted(set(tried.values()), key=lambda rfc: int(rfc[4:])):
        rows = [id for id in tried if tried[id] == rfc]
        bad = [id for id in rows if id in spared]
        print(f"{rfc}: {len(rows)} rows, {len(rows) - len(bad)} caught, {len(bad)} not", *bad)
    print(f"all: {len(tried)} rows, {len(spared & set(tried))} not")


def main():
    kind, *words = sys.argv[1:] or ["help"]
    stale = []
    if kind == "rows":
        mutants, stale = listed(words)
    elif kind == "sample":
        count, seed = [int(word) for word in words] + [100, 1][len(words) :]
        everything = list(possible())
        random.Random(seed).shuffle(everything)
        mutants = everything[:count]
        print(f"{len(mutants)} of {len(everything)}, seed {seed}")
    else:
        sys.exit(__doc__)
    for number, mutant in enumerate(mutants, 1):
        mutant.number = number
    mutants, failed = checked(mutants)
    suites = built()
    limits = []
    for suite in suites:
        begin = time.monotonic()
        if by := run(suite, 0, 3600):
            sys.exit(f"without a mutant: {by}")
        limits.append(20 + 5 * (time.monotonic() - begin))
        print(f"{suite[0]}: {time.monotonic() - begin:.1f} s", flush=True)
    counts = collections.Counter()
    with open(OUT / f"{kind}.tsv", "w") as report:
        for mutant in mutants:
            caught = (run(suite, mutant.number, limit) for suite, limit in zip(suites, limits))
            mutant.by = next((by for by in caught if by), "")
            fate = "caught" if mutant.by else "SURVIVED"
            counts[fate] += 1
            print(fate, mutant.name, mutant.by or mutant.what, sep="\t", flush=True)
            print(fate, mutant.name, mutant.file, mutant.what, mutant.by, sep="\t", file=report)
            report.flush()
    for mutant in failed:
        print(f"does not build: {mutant.name}: {mutant.what}")
    for entry in stale:
        print(f"no longer applies: {entry}")
    if kind == "rows":
        print_table(mutants)
    print(f"{counts['caught']} caught, {counts['SURVIVED']} survived, "
          f"{len(failed)} did not build, {len(stale)} no longer apply")
    sys.exit(1 if counts["SURVIVED"] or failed or stale else 0)


if __name__ == "__main__":
    main()
