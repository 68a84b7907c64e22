#!/usr/bin/env python3
"""welford serve under streams: tokens/s of all together beside `welford bench --batch` at the same width, the time to the
first token, the time between tokens, and what HTTP costs.

    bench/serve.py [--welford build/welford] [--widths 1,4,8,16,32] [-n 256] [-r 3] [-t 2] MODEL.gguf

Every stream has a prompt of its own, so that they share nothing of the cache, and goes on to its -n tokens. Speed is
counted while all streams are at work: from the first token of the last one to begin to the end of the first one to end. The
client is this program, on the same machine: its share of the CPU stands beside the server's HTTP thread's.
"""
import argparse
import json
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time


class Server:
    def __init__(self, welford, model, threads, width, n_ctx):
        command = [welford, "serve", model, "--port", "0", "-np", str(width), "-c", str(n_ctx)]
        if threads:
            command += ["-t", str(threads)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.port = None
        for line in self.process.stderr:
            if found := re.search(r"listening on http://.*:(\d+)", line):
                self.port = int(found[1])
            if "is ready" in line:
                break
        if self.port is None:
            sys.exit("serve.py: the server does not start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def close(self):
        self.process.terminate()
        self.process.wait(60)

    def cpu_seconds(self):
        """(all threads, the HTTP thread)"""
        everything = http = 0.0
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/stat") as f:
                name, rest = re.match(r"\d+ \((.*)\) (.*)", f.read()).groups()
            used = sum(map(int, rest.split()[11:13])) / os.sysconf("SC_CLK_TCK")
            everything += used
            http += used if name.startswith("MHD") else 0
        return everything, http


class Stream:
    """One request, and when each of its tokens came."""

    def __init__(self, port, prompt, n):
        body = json.dumps({"prompt": prompt, "max_tokens": n, "temperature": 0, "ignore_eos": True, "stream": True,
                           "logprobs": 0}).encode()  # with logprobs every token has its event, also one without text
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.sent = time.monotonic()
        self.socket.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                            b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.socket.setblocking(False)
        self.rest, self.times, self.ended = b"", [], None

    def take(self):
        data = self.socket.recv(1 << 16)
        now = time.monotonic()
        if not data:
            self.ended = now
            return
        self.rest += data
        self.times += [now] * self.rest.count(b'"finish_reason":null')
        self.rest = self.rest[max(0, self.rest.rfind(b"\n") + 1):]


def run_streams(port, width, n, salt):
    streams = [Stream(port, f"{salt * 100 + i} {'word ' * 8}", n) for i in range(width)]
    with selectors.DefaultSelector() as waiting:
        for s in streams:
            waiting.register(s.socket, selectors.EVENT_READ, s)
        while any(s.ended is None for s in streams):
            for key, _ in waiting.select():
                key.data.take()
                if key.data.ended:
                    waiting.unregister(key.fileobj)
    for s in streams:
        s.socket.close()
        if len(s.times) < n:
            sys.exit(f"serve.py: a stream ended after {len(s.times)} of {n} tokens")
    return streams


def speed(streams):
    begin, end = max(s.times[0] for s in streams), min(s.times[-1] for s in streams)
    if end <= begin:
        sys.exit("serve.py: the first stream ended before the last one began: a larger -n")
    return sum(begin < t <= end for s in streams for t in s.times) / (end - begin)


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def measure(server, width, n, repeats):
    speeds, firsts, gaps, client, served = [], [], [], time.process_time(), server.cpu_seconds()
    run_streams(server.port, width, n, 0)
    for r in range(repeats):
        streams = run_streams(server.port, width, n, r + 1)
        speeds.append(speed(streams))
        firsts += [s.times[0] - s.sent for s in streams]
        gaps += [b - a for s in streams for a, b in zip(s.times, s.times[1:])]
    everything, http = (b - a for a, b in zip(served, server.cpu_seconds()))
    client = time.process_time() - client
    return {"speed": statistics.median(speeds), "first": firsts, "gaps": gaps, "http": http / everything,
            "client": client / (client + everything)}


def batch_speeds(options, widths):
    """Tokens/s of `bench --batch`, by width."""
    command = [options.welford, "bench", options.model, "-p", "16", "-n", str(options.n), "-r", str(options.repetitions),
               "--batch", ",".join(map(str, widths))]
    if options.threads:
        command += ["-t", str(options.threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    rows = re.findall(r"^\| +(\d+) \| +([\d.]+) \|", done.stdout, re.MULTILINE)
    return {int(width): float(rate) for width, rate in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--welford", default="build/welford")
    parser.add_argument("--widths", default="1,4,8,16,32")
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("-r", "--repetitions", type=int, default=3)
    parser.add_argument("-t", "--threads", type=int)
    options = parser.parse_args()
    widths = [int(w) for w in options.widths.split(",")]
    batch = batch_speeds(options, widths)
    print("| streams | tokens/s | bench --batch | ratio | first token p50, p99 (ms) | between tokens p50, p99 (ms) | "
          "HTTP thread, of the server's CPU | client, of all CPU |\n|---|---|---|---|---|---|---|---|")
    for width in widths:
        server = Server(options.welford, options.model, options.threads, width, options.n + 64)
        try:
            m = measure(server, width, options.n, options.repetitions)
        finally:
            server.close()
        first, gap = ([1e3 * quantile(m[key], q) for q in (0.5, 0.99)] for key in ("first", "gaps"))
        print(f"| {width} | {m['speed']:.1f} | {batch[width]:.1f} | {m['speed'] / batch[width]:.2f} | {first[0]:.1f}, {first[1]:.1f} | "
              f"{gap[0]:.1f}, {gap[1]:.1f} | {100 * m['http']:.1f} % | {100 * m['client']:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
