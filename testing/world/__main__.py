"""`python -m testing.world SEED`: one history again, with its steps. `--count N`: as many from that seed on."""

from __future__ import annotations

import argparse
import os
import sys

from testing.world.history import STEPS, run
from testing.world.setting import DELETE_SHARE


def main() -> int:
    """0: no violation; 1: there are some."""
    parser = argparse.ArgumentParser(prog="python -m testing.world", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--delete", type=float, default=DELETE_SHARE, help="share of histories with sweeps in Delete")
    options = parser.parse_args()
    found: dict[tuple[str, str], list[int]] = {}
    for seed in range(options.seed, options.seed + options.count):
        history = run(seed, steps=options.steps, keep=options.count == 1, delete_share=options.delete)
        print("\n".join(history.trace)) if history.trace else None
        for one in history.violations:
            found.setdefault((one.kind, one.why), []).append(seed)
            print(f"seed {seed}: {one.kind}: {one.why}: {one.what}") if options.count == 1 else None
    for (kind, why), seeds in sorted(found.items()):
        print(f"{len(seeds):>6} {kind}: {why}; seeds {list(dict.fromkeys(seeds))[:6]}")
    print(f"{sum(map(len, found.values()))} violations in {options.count} histories")
    return 1 if found else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "testing.world", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
