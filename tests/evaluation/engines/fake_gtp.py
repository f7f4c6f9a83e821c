"""GTP engine of tests: plays the first empty vertex; its arguments say how it fails.

--die=COMMAND ends at a command, --hang=COMMAND does not answer it, --refuse=COMMAND answers with
an error, --resign resigns, --log=FILE writes the commands, --chatter writes before the protocol.
"""

import argparse
import sys
import time

parser = argparse.ArgumentParser()
for name in ("die", "hang", "refuse", "log"):
    parser.add_argument(f"--{name}")
for name in ("resign", "chatter"):
    parser.add_argument(f"--{name}", action="store_true")
flags = parser.parse_args()
size, taken = 0, set()
if flags.chatter:
    print("Welcome!\n", flush=True)
for line in sys.stdin:
    command, *arguments = line.split()
    if flags.log:
        with open(flags.log, "a") as log:
            log.write(line)
    if command == flags.die:
        sys.exit("out of ink")
    if command == flags.hang:
        time.sleep(60)
    if command == flags.refuse:
        print("? not today\n", flush=True)
        continue
    answer = ""
    if command == "boardsize":
        size = int(arguments[0])
    elif command == "clear_board":
        taken.clear()
    elif command == "play":
        taken.add(arguments[1].lower())
    elif command == "genmove":
        cells = [f"{'abcdefghjklmnopqrst'[c]}{r}" for r in range(1, size + 1) for c in range(size)]
        answer = "resign" if flags.resign else next(c for c in cells if c not in taken)
        taken.add(answer)
    print(f"= {answer}\n", flush=True)
    if command == "quit":
        break
