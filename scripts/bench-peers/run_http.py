#!/usr/bin/env python3
"""How many HTTP requests a second does each stack serve, under wrk?

usage: run_http.py --bin DIR [--out DIR] [--reps N] [--secs S] [--connections N] [--only TEXT[,TEXT]]
                   [--stack 'NAME=COMMAND']...

--bin          directory of smol_tun
--out          directory of http.jsonl, which gets one line for each sample (./out)
--reps         repetitions (3); --secs: seconds of each sample (3)
--connections  of wrk, kept alive, each with one request at a time (64)
--only         only the stacks whose name contains one of the texts
--stack        one more stack: a command that creates tun0, owns 10.77.0.1, answers HTTP on 5004,
               prints a line when the device exists, ends on SIGTERM

A sample is a new network namespace with the server on CPU 1 and wrk, through the kernel, on CPU 0.
nginx serves over the kernel's own TCP from another namespace, over a veth pair, with one worker and
no log. All answer with five octets of text. CPU is that of the server's process, per request.
Needs root, two CPUs, ip, taskset, wrk and nginx.
"""
import argparse, json, os, shlex, signal, statistics, subprocess, sys, tempfile, time

import run_tun as tun

PORT = 5004
NGINX = """
daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; default_type text/plain;
    client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
    uwsgi_temp_path {dir}; scgi_temp_path {dir};
    server {{ listen 10.77.0.1:5004 backlog=1024; location / {{ return 200 "hello"; }} }}
}}
"""
DONE = """
done = function(summary, latency)
    local e = summary.errors
    io.write(string.format('\\nJSON {"rps":%f,"p50_us":%d,"p99_us":%d,"errors":%d}\\n',
        summary.requests / summary.duration * 1e6, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def main():
    args = arguments()
    if os.geteuid() != 0 or os.cpu_count() < 2:
        sys.exit("run_http.py needs root and two CPUs")
    tun.raise_priority()
    os.makedirs(args.out, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` cleans up
    samples = []
    with tempfile.TemporaryDirectory() as scratch, \
            open(os.path.join(args.out, "http.jsonl"), "a") as log:
        stacks = [s for s in all_stacks(args, scratch) if any(t in s[0] for t in args.only.split(","))]
        for rep in range(args.reps):
            for name, command in stacks if rep % 2 == 0 else reversed(stacks):
                background = tun.wait_until_calm()
                sample = {"stack": name, "rep": rep, "background_cpus": background}
                sample |= take_sample(args, command, scratch)
                samples.append(sample)
                print(json.dumps(sample), file=log, flush=True)
                print(json.dumps(sample), file=sys.stderr, flush=True)
    print(table([name for name, _ in stacks], samples))
    if any("error" in sample for sample in samples):
        sys.exit("some samples failed; see above")


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--out", default="out")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--secs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--only", default="")
    parser.add_argument("--stack", action="append", default=[])
    return parser.parse_args()


def all_stacks(args, scratch):
    """(name, command) of every server."""
    with open(f"{scratch}/nginx.conf", "w") as conf:
        conf.write(NGINX.format(dir=scratch))
    with open(f"{scratch}/done.lua", "w") as script:
        script.write(DONE)
    stacks = [(name, shlex.split(command)) for name, command in
              (text.split("=", 1) for text in args.stack)]
    smoltcp = [f"{args.bin}/smol_tun", "--sock", "64K", "--http", str(args.connections + 8)]
    return stacks + [
        ("smoltcp", smoltcp),
        ("smoltcp vnet", [*smoltcp, "--dev", "vnet"]),
        ("linux, nginx", ["nginx", "-c", f"{scratch}/nginx.conf", "-e", f"{scratch}/error"]),
    ]


def take_sample(args, command, scratch):
    server, is_kernel = None, command[0] == "nginx"
    try:
        tun.run(f"ip netns add {tun.NAMESPACE}")
        tun.inside("ip link set lo up")
        namespace = tun.NAMESPACE
        if is_kernel:
            tun.connect_kernel()
            namespace = tun.OTHER_NAMESPACE
        server = subprocess.Popen(
            ["ip", "netns", "exec", namespace, "taskset", "-c", tun.STACK_CPU, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if not is_kernel:
            tun.wait_until_ready(server)
            tun.inside("sysctl -qw net.ipv6.conf.tun0.disable_ipv6=1")
            tun.inside("ip addr add 10.77.0.2/24 dev tun0")
            tun.inside("ip link set tun0 up")
        wait_until_open()
        wrk(args, scratch, 1)  # Everybody is warm.
        before, begin = cpu_seconds(server.pid), time.monotonic()
        sample = wrk(args, scratch, args.secs)
        elapsed, cpu = time.monotonic() - begin, cpu_seconds(server.pid) - before
        sample["srv_cpu_us"] = round(cpu / elapsed / max(sample["rps"], 1) * 1e6, 2)
        return sample
    except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)[:300]}
    finally:
        if server is not None:
            tun.end(server)
        for namespace in tun.NAMESPACE, tun.OTHER_NAMESPACE:
            subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL)


def wait_until_open():
    probe = f"bash -c 'exec 3<>/dev/tcp/10.77.0.1/{PORT}'"
    for _ in range(50):
        try:
            return tun.inside(f"timeout 1 {probe}")
        except RuntimeError:
            time.sleep(0.1)
    raise RuntimeError("nobody listens")


def wrk(args, scratch, secs):
    text = tun.run(
        f"ip netns exec {tun.NAMESPACE} taskset -c {tun.PEER_CPU} wrk -t1 -c{args.connections} "
        f"-d{secs}s -s {scratch}/done.lua http://10.77.0.1:{PORT}/"
    )
    sample = json.loads(text.split("JSON ", 1)[1])
    if sample["errors"] or not sample["rps"]:
        raise RuntimeError(f"wrk: {sample}")
    return sample


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(names, samples):
    columns = [("requests/s", "rps"), ("p50 us", "p50_us"), ("p99 us", "p99_us"),
               ("server CPU us", "srv_cpu_us")]
    lines = [["min/median/max"] + [title for title, _ in columns]]
    for name in names:
        mine = [sample for sample in samples if sample["stack"] == name]
        lines.append([name] + [cell(mine, key) for _, key in columns])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[text.ljust(width) for text, width in zip(line, widths)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def cell(samples, key):
    values = [sample[key] for sample in samples if key in sample]
    if not values:
        return "failed"
    return "/".join(f"{f(values):.5g}" for f in (min, statistics.median, max))


if __name__ == "__main__":
    main()
