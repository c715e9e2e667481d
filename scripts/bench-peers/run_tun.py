#!/usr/bin/env python3
"""How do stacks behind a TUN device compare, each against this machine's kernel?

usage: run_tun.py --bin DIR [--out DIR] [--reps N] [--secs S] [--only TEXT[,TEXT]]
                  [--dirs DIR[,DIR]] [--stack 'NAME=COMMAND']...

--bin    directory of kpeer, smol_tun and floor
--out    directory of tun.jsonl, which gets one line for each sample (./out)
--reps   repetitions (3); --secs: seconds of each sample (3)
--only   only the stacks whose name contains one of the texts
--dirs   only these directions: in,out,rr,rr1
--stack  one more stack: a command that creates tun0, owns 10.77.0.1, listens on 5001 (sink),
         5002 (source) and 5003 (echo), prints a line when the device exists, ends on SIGTERM

A sample is a new network namespace with one stack on CPU 1 and the kernel's peer, 10.77.0.2, on
CPU 0; the namespace goes when the sample ends. Repetitions are interleaved, so that a slow minute
of the machine meets every stack. "in" is kernel to stack, "out" stack to kernel, "rr" one-octet
ping-pong, "rr1" the same with both on one CPU. CPU is that of the stack's process, and includes the kernel's work inside its writes.
A sample whose processes had to wait for a CPU ("starved") is repeated, and left out of the table
if a better one exists. What is measured has priority over the rest of the machine. Needs root, two
CPUs, ip and taskset.
"""
import argparse, json, os, select, shlex, signal, statistics, subprocess, sys, time

NAMESPACE = f"minitcp-bench-{os.getpid()}"
OTHER_NAMESPACE = f"{NAMESPACE}-other"
STACK_CPU, PEER_CPU = "1", "0"
STARVED = 0.12  # seconds of waiting for a CPU in each second; more spoils the sample
TRIES = 3
CALM_CPUS, CALM_WAIT_S = 0.15, 20  # how busy others may be at the start, how long to wait for it
READY_WAIT_S = 10
DIRECTIONS = {"in": ("send", 5001), "out": ("recv", 5002), "rr": ("rr", 5003), "rr1": ("rr", 5003)}
KERNEL = "linux veth"  # Not behind a TUN device: two namespaces, and kserv in the other one.


def main():
    args = arguments()
    if os.geteuid() != 0 or os.cpu_count() < 2:
        sys.exit("run_tun.py needs root and two CPUs")
    raise_priority()
    os.makedirs(args.out, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` cleans up
    stacks = [s for s in all_stacks(args) if any(text in s[0] for text in args.only.split(","))]
    samples = []
    with open(os.path.join(args.out, "tun.jsonl"), "a") as log:
        for rep in range(args.reps):
            for name, commands in stacks if rep % 2 == 0 else reversed(stacks):
                for direction, command in commands.items():
                    if direction not in args.dirs.split(","):
                        continue
                    sample = {"stack": name, "direction": direction, "rep": rep}
                    sample |= best_sample(args, direction, command)
                    samples.append(sample)
                    print(json.dumps(sample), file=log, flush=True)
                    print(json.dumps(sample), file=sys.stderr, flush=True)
    print(table([name for name, _ in stacks], samples))
    if any("error" in sample for sample in samples):
        sys.exit("some samples failed; see above")


def raise_priority():
    """Of this process, which those that it starts inherit."""
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    try:  # Where the scheduler groups by session, nice counts only within one.
        with open("/proc/self/autogroup", "w") as group:
            group.write("-10")
    except OSError:
        pass


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--out", default="out")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--secs", type=float, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--dirs", default=",".join(DIRECTIONS))
    parser.add_argument("--stack", action="append", default=[])
    return parser.parse_args()


def all_stacks(args):
    """(name, {direction: command}) of every stack."""
    every = lambda command: (dict.fromkeys(DIRECTIONS, command))
    smoltcp, floor = f"{args.bin}/smol_tun", f"{args.bin}/floor"
    stacks = []
    for text in args.stack:
        name, command = text.split("=", 1)
        stacks.append((name, every(shlex.split(command))))
    for size in "64K", "1M", "4M":
        sock = "65535" if size == "64K" else size  # 64K without window scaling
        stacks.append((f"smoltcp sock={size}", every([smoltcp, "--sock", sock])))
    stacks.append(("smoltcp vnet sock=1M", every([smoltcp, "--sock", "1M", "--dev", "vnet"])))
    for name, options in (
        ("toy ack=2", ["--rwnd", "512K"]),
        ("toy ack=32", ["--rwnd", "512K", "--ack_every", "32"]),
        ("toy vnet ack=88", ["--vnet", "1", "--ack_every", "88"]),
    ):
        modes = {"in": "tcpsink", "out": "tcpsource"}
        stacks.append((name, {d: [floor, mode, *options] for d, mode in modes.items()}))
    kserv = [f"{args.bin}/kserv"]
    stacks.append((KERNEL, {"rr": kserv, "rr1": kserv}))
    return stacks


def best_sample(args, direction, command):
    """The first sample that did not starve, or else the one that starved least."""
    tried = []
    for _ in range(TRIES):
        background = wait_until_calm()
        tried.append(take_sample(args, direction, command) | {"background_cpus": background})
        if "error" in tried[-1] or tried[-1]["starved"] < STARVED:
            return tried[-1]
    return min(tried, key=lambda sample: sample["starved"])


def take_sample(args, direction, command):
    server = None
    try:
        run(f"ip netns add {NAMESPACE}")
        inside("ip link set lo up")
        # As much as the peer's autotuning may want, whatever this machine's defaults are.
        inside("sysctl -qw", "net.ipv4.tcp_rmem=4096 131072 33554432")
        inside("sysctl -qw", "net.ipv4.tcp_wmem=4096 65536 16777216")
        prefix = f"ip netns exec {NAMESPACE} taskset -c"
        is_kernel = command[0].endswith("kserv")
        if is_kernel:
            connect_kernel()
            prefix_of_server = prefix.replace(NAMESPACE, OTHER_NAMESPACE)
        else:
            prefix_of_server = prefix
        cpu = PEER_CPU if direction == "rr1" else STACK_CPU
        server = subprocess.Popen(
            [*prefix_of_server.split(), cpu, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        wait_until_ready(server)
        if not is_kernel:
            inside("sysctl -qw net.ipv6.conf.tun0.disable_ipv6=1")
            inside("ip addr add 10.77.0.2/24 dev tun0")
            inside("ip link set tun0 up")
        time.sleep(0.2)
        mode, port = DIRECTIONS[direction]
        peer = f"{prefix} {PEER_CPU} {shlex.quote(args.bin)}/kpeer {mode} --addr 10.77.0.1:{port}"
        return json.loads(run(f"{peer} --secs {args.secs} --pid {server.pid} --cc cubic"))
    except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)[:300]}
    finally:
        if server is not None:
            end(server)
        for namespace in NAMESPACE, OTHER_NAMESPACE:
            subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL)


def connect_kernel():
    """Another namespace with 10.77.0.1, at the other end of a veth pair."""
    run(f"ip netns add {OTHER_NAMESPACE}")
    run(f"ip link add veth0 netns {NAMESPACE} type veth peer name veth0 netns {OTHER_NAMESPACE}")
    for namespace, address in (NAMESPACE, "10.77.0.2"), (OTHER_NAMESPACE, "10.77.0.1"):
        run(f"ip -n {namespace} addr add {address}/24 dev veth0")
        run(f"ip -n {namespace} link set veth0 up")


def wait_until_ready(server):
    readable, _, _ = select.select([server.stdout], [], [], READY_WAIT_S)
    if not readable or not server.stdout.readline():
        server.kill()
        raise RuntimeError("the stack did not start: " + server.stderr.read(200).decode().strip())


def end(server):
    server.terminate()
    try:
        server.wait(2)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    server.stdout.close()
    server.stderr.close()


def inside(command, *more):
    run(f"ip netns exec {NAMESPACE} {command}", *more)


def run(command, *more):
    done = subprocess.run(
        [*shlex.split(command), *more], capture_output=True, text=True, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")
    return done.stdout


def wait_until_calm():
    """Waits until other work leaves the CPUs alone; CPUs that were busy at the end."""
    deadline = time.monotonic() + CALM_WAIT_S
    while True:
        ticks, begin = busy_ticks(), time.monotonic()
        time.sleep(0.4)
        elapsed = time.monotonic() - begin
        busy = (busy_ticks() - ticks) / os.sysconf("SC_CLK_TCK") / elapsed
        if busy < CALM_CPUS or time.monotonic() > deadline:
            return round(busy, 2)


def busy_ticks():
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4]  # all but idle and iowait


def table(names, samples):
    columns = [
        ("in Gbit/s", "in", "gbps"),
        ("in CPU s/GiB", "in", "srv_cpu_per_gib"),
        ("out Gbit/s", "out", "gbps"),
        ("out CPU s/GiB", "out", "srv_cpu_per_gib"),
        ("rr p50 us", "rr", "p50_us"),
        ("rr p99 us", "rr", "p99_us"),
        ("rr CPU us", "rr", "srv_cpu_us"),
        ("rr1 p50 us", "rr1", "p50_us"),
        ("rr1 p99 us", "rr1", "p99_us"),
    ]
    lines = [["min/median/max"] + [title for title, _, _ in columns]]
    for name in names:
        mine = [sample for sample in samples if sample["stack"] == name]
        lines.append([name] + [cell(mine, direction, key) for _, direction, key in columns])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[text.ljust(width) for text, width in zip(line, widths)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def cell(samples, direction, key):
    samples = [sample for sample in samples if sample["direction"] == direction]
    good = [sample for sample in samples if sample.get("starved", 1) < STARVED]
    values = [sample[key] for sample in good or samples if key in sample]
    if not values:
        return "failed" if samples else "-"
    marked = "" if good else "*"  # every sample starved
    return "/".join(f"{f(values):.4g}" for f in (min, statistics.median, max)) + marked


if __name__ == "__main__":
    main()
