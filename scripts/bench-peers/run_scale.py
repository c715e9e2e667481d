#!/usr/bin/env python3
"""What does MiniTCP cost as connections grow many, beside smoltcp, both without a device?

usage: run_scale.py --bin DIR [--out DIR] [--reps N] [--only TEXT[,TEXT]] [--quick]
                    [--svg FILE] [--markdown]

--bin       directory of mini_mem and smol_mem
--out       directory of scale.jsonl, which gets one line for each sample (./out)
--reps      repetitions (3), interleaved, so that a slow minute of the machine meets every row
--only      only rows whose name contains one of the texts: idle, each, conn, bulk, mem
--quick     a tenth of the rounds, and no million connections
--svg       draws the round trip over the number of idle connections there
--markdown  the table as Markdown

"idle" is a round trip of 64 octets on one connection beside N idle ones, the median over batches of
ten; "each" the same on every connection in turn, so that none is the last one, or in the cache. "conn" is connect,
accept and close in a second, and "bulk" Gbit/s with an MTU of 1500 and checksums; both count CPU
time of the process, which is all of one core for both ends together. "mem" is the heap of an
established endpoint. Everything is the median of the repetitions.
"""
import argparse, json, math, os, statistics, subprocess, sys

IDLE = [1, 100, 10_000, 100_000, 1_000_000]
SMOL_IDLE = [1, 100, 1_000, 10_000]  # Its cost grows with each: at the last it is milliseconds.
GIBIBIT = 8 * 2**30 * 1e-9


def main():
    args = arguments()
    os.makedirs(args.out, exist_ok=True)
    samples = {}
    with open(os.path.join(args.out, "scale.jsonl"), "a") as log:
        for rep in range(args.reps):
            order = rows(args)
            for name, stack, command in order if rep % 2 == 0 else reversed(order):
                sample = {"row": name, "stack": stack, "rep": rep} | run(args, stack, command)
                samples.setdefault((name, stack), []).append(sample)
                print(json.dumps(sample), file=log, flush=True)
                print(json.dumps(sample), file=sys.stderr, flush=True)
    values = {key: statistics.median(value(s) for s in found) for key, found in samples.items()}
    loads = [s["load"] for found in samples.values() for s in found]
    print(table(values, args.markdown))
    print(f"\nload average while measuring: {min(loads):.1f} to {max(loads):.1f}")
    if args.svg:
        with open(args.svg, "w") as file:
            file.write(plot(values))


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--out", default="out")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--svg")
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


def rows(args):
    """(name, stack, arguments) of each row, those that are compared one after the other."""
    found = []
    scale = 10 if args.quick else 1
    for n in sorted({*IDLE, *SMOL_IDLE}):
        if n in IDLE and not (args.quick and n == IDLE[-1]):
            found.append((f"idle {n}", "mini", f"idle --n {n} --rounds {400_000 // scale}"))
        if n in SMOL_IDLE:
            rounds = max(400_000 // n, 200) // scale
            found.append((f"idle {n}", "smol", f"idle --n {n} --rounds {rounds}"))
    for n in [2, 10_000, 100_000]:
        command = f"idle --n {n} --rounds {400_000 // scale} --pos each"
        found.append((f"each {n}", "mini", command))
    found.append(("conn 0", "mini", f"conn --n {400_000 // scale}"))
    found.append(("conn 0", "smol", f"conn --n {400_000 // scale}"))
    found.append(("conn 10000", "mini", f"conn --n {400_000 // scale} --idle 10000"))
    found.append(("conn 1000", "mini", f"conn --n {400_000 // scale} --idle 1000"))
    found.append(("conn 1000", "smol", f"conn --n {2_000 // scale} --idle 1000"))
    for sock in ["64K", "1M"]:
        for stack in ["mini", "smol"]:
            found.append((f"bulk {sock}", stack, f"bulk --sock {sock} --mib {4096 // scale}"))
    found.append(("mem", "mini", "mem --n 100000 --sock 1M"))
    found.append(("mem", "smol", "mem --n 10000 --sock 1460"))
    return [row for row in found if any(text in row[0] for text in args.only.split(","))]


def run(args, stack, command):
    program = os.path.join(args.bin, f"{stack}_mem")
    done = subprocess.run([program, *command.split()], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{program} {command}: {done.stderr}")
    return json.loads(done.stdout)


def value(sample):
    """The one figure of a sample."""
    kind = sample["row"].split()[0]
    if kind in ("idle", "each"):
        return sample["rr_p50_ns"]
    if kind == "conn":
        return 1e6 / sample["cpu_us_per"]
    return GIBIBIT / sample["cpu_per_gib"] if kind == "bulk" else sample["heap_per_endpoint"]


def shown(kind, number):
    if number is None:
        return "-"
    if kind in ("idle", "each"):
        return f"{number / 1000:.3g} µs" if number < 1e6 else f"{number / 1e6:.3g} ms"
    if kind == "conn":
        return f"{number / 1000:.4g} k/s"
    return f"{number:.3g} Gbit/s" if kind == "bulk" else f"{number:.0f} octets"


def targets(values):
    """Row to what is asked for, and whether it is met."""
    mini = lambda row: values.get((row, "mini"))
    one = mini("idle 1")
    asked = {
        "idle 1": ("≤ 0.4 µs", lambda v: v <= 400),
        "idle 10000": ("≤ 0.4 µs, ≤ 1.3 × one", lambda v: v <= 400 and one and v <= 1.3 * one),
        "idle 100000": ("≤ 1.5 × one", lambda v: one and v <= 1.5 * one),
        "conn 0": ("≥ 800 k/s", lambda v: v >= 8e5),
        "conn 10000": ("≥ 600 k/s", lambda v: v >= 6e5),
        "bulk 64K": ("≥ 50 Gbit/s", lambda v: v >= 50),
        "bulk 1M": ("≥ 45 Gbit/s", lambda v: v >= 45),
        "mem": ("≤ 600 octets", lambda v: v <= 600),
    }
    return {
        row: f"{text} ({'met' if met(mini(row)) else 'missed'})"
        for row, (text, met) in asked.items()
        if mini(row) is not None
    }


def table(values, markdown):
    asked, one = targets(values), values.get(("idle 1", "mini"))
    lines = [["row", "target", "MiniTCP", "÷ at 1", "smoltcp", "MiniTCP ÷ smoltcp"]]
    for row in dict.fromkeys(row for row, _ in values):
        kind = row.split()[0]
        mini, smol = values.get((row, "mini")), values.get((row, "smol"))
        flat = f"{mini / one:.2f}" if kind == "idle" and mini and one else ""
        ratio = f"{mini / smol:.3g}" if mini and smol else ""
        lines.append([row, asked.get(row, ""), shown(kind, mini), flat, shown(kind, smol), ratio])
    if markdown:
        lines.insert(1, ["---"] * len(lines[0]))
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(w.ljust(n) for w, n in zip(line, widths)).rstrip() for line in lines)


# The plot: both axes logarithmic, one line and one name for each stack.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 430, 84, 120, 58, 64
COLOURS = {"mini": "#0b5cad", "smol": "#b3541e"}
NAMES = {"mini": "MiniTCP", "smol": "smoltcp"}


def plot(values):
    lines = {
        stack: sorted(
            (int(row.split()[1]), ns)
            for (row, owner), ns in values.items()
            if owner == stack and row.startswith("idle")
        )
        for stack in NAMES
    }
    points = [point for line in lines.values() for point in line]
    if not points:
        sys.exit("run_scale.py: nothing to draw: no row 'idle'")
    last = math.ceil(math.log10(max(n for n, _ in points)))
    low = math.floor(math.log10(min(ns for _, ns in points)))
    high = math.ceil(math.log10(max(ns for _, ns in points)))
    x = lambda n: LEFT + (WIDTH - LEFT - RIGHT) * math.log10(n) / last
    y = lambda ns: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(ns) - low) / (high - low)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="16" font-weight="bold">'
        "A round trip of 64 octets beside N idle connections</text>",
        f'<text x="{LEFT}" y="43" fill="#666">both ends together, in memory, no device; '
        "lower is better</text>",
    ]
    for power in range(last + 1):
        at, label = x(10**power), f"{10**power:,}"
        out.append(grid(at, TOP, at, HEIGHT - BOTTOM))
        out.append(text(at, HEIGHT - BOTTOM + 20, label, "middle"))
    for power in range(low, high + 1):
        at = y(10**power)
        out.append(grid(LEFT, at, WIDTH - RIGHT, at))
        out.append(text(LEFT - 8, at + 4, time_of(10**power), "end"))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "idle connections", "middle"))
    for stack, line in lines.items():
        if not line:
            continue
        colour, path = COLOURS[stack], " ".join(f"{x(n):.1f},{y(ns):.1f}" for n, ns in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        for n, ns in line:
            out.append(f'<circle cx="{x(n):.1f}" cy="{y(ns):.1f}" r="4" fill="{colour}"/>')
            # Beside a line that rises, below it; above one that is flat.
            right, down = (9, 16) if line[-1][1] > 3 * line[0][1] else (-2, -10)
            out.append(text(x(n) + right, y(ns) + down, time_of(ns), "start", colour))
        n, ns = line[-1]
        out.append(text(x(n) + 12, y(ns) + (-6 if ns > 3 * line[0][1] else 5), NAMES[stack], "start", colour, "bold"))
    return "\n".join([*out, "</svg>", ""])


def time_of(ns):
    for unit, size in [("ms", 1e6), ("µs", 1e3)]:
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def grid(x1, y1, x2, y2):
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'


def text(x, y, words, anchor, colour="#222", weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
        f'font-weight="{weight}">{words}</text>'
    )


if __name__ == "__main__":
    main()
