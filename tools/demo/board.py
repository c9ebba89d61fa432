"""What the audience sees: a table that is redrawn in place on a terminal, one line an event everywhere else."""

import os
import shutil
import sys
import time

GREEN, RED, DIM, BOLD, PLAIN = "\033[32m", "\033[31m", "\033[2m", "\033[1m", "\033[0m"
SPINNER = "|/-\\"


def on_terminal():
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def paint(text, colour):
    return f"{colour}{text}{PLAIN}" if on_terminal() and "NO_COLOR" not in os.environ else text


def heading(text):
    print("\n" + paint(text, BOLD), flush=True)


def say(text):
    print(text, flush=True)


class Board:
    """One row a name: what that replica does now."""

    def __init__(self, names):
        self.names = list(names)
        self.live = on_terminal()
        self.rows = {name: ("", DIM, True) for name in self.names}
        self.started = time.monotonic()
        self.drawn = 0

    def add(self, name):
        self.names.append(name)
        self.rows[name] = ("", DIM, True)

    def set(self, name, text, good=False, bad=False):
        """good: it has got where it should; bad: something failed; neither: it is under way."""
        if self.rows[name][0] == text:
            return
        colour = GREEN if good else RED if bad else DIM
        self.rows[name] = (text, colour, not (good or bad))
        if not self.live:
            say(f"  {time.monotonic() - self.started:5.1f} s  {name}  {text}")

    def tick(self):
        """Redraws the table on a terminal."""
        if not self.live:
            return
        width = shutil.get_terminal_size().columns
        spin = SPINNER[int(time.monotonic() * 8) % len(SPINNER)]
        out = [f"\033[{self.drawn}A" if self.drawn else ""]
        for name in self.names:
            text, colour, moving = self.rows[name]
            sign = spin if moving and text else " "
            out.append("\r\033[K" + paint(f"  {sign} {name}  {text}"[: width - 1], colour) + "\n")
        sys.stdout.write("".join(out))
        sys.stdout.flush()
        self.drawn = len(self.names)

    def close(self):
        """Draws a last time; what follows is printed below."""
        self.tick()
        if self.live:
            say(paint(f"    {time.monotonic() - self.started:.1f} s", DIM))
