#!/usr/bin/env python3
"""Runs a command, and prints its exit code, seconds and peak memory as one line of JSON behind what it printed.

  measure.py [--largest-file BYTES] COMMAND...

--largest-file is a disk that fills up: a write past that size fails.
"""
import argparse
import json
import resource
import subprocess
import time

LONGEST = 120  # seconds; a command that hangs fails here

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--largest-file", type=int)
parser.add_argument("command", nargs=argparse.REMAINDER)
arguments = parser.parse_args()


def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (arguments.largest_file,) * 2)


started = time.monotonic()
# Python ignores SIGXFSZ; a command that inherits that sees the failed write instead of being killed.
done = subprocess.run(arguments.command, timeout=LONGEST, restore_signals=False,
                      preexec_fn=limit if arguments.largest_file else None)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"code": done.returncode, "seconds": time.monotonic() - started, "peak_kib": peak}))
