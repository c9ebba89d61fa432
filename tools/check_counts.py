"""Reads what test runners print: each function takes the text of a run and gives (passed, failed), or None when it shows no
results."""

import re


def count_tap(text):
    """A skipped test counts as failed: TAP's own mark for that differs from runner to runner."""
    text = re.sub(r"^ok (.*# SKIP)", r"not ok \1", text, flags=re.M)
    passed = len(re.findall(r"^ok\b", text, re.M))
    failed = len(re.findall(r"^not ok\b", text, re.M))
    planned = sum(map(int, re.findall(r"^1\.\.(\d+)", text, re.M)))
    if passed + failed == 0:
        return None
    return passed, failed + max(0, planned - passed - failed)


def count_unittest(text):
    ran = re.search(r"^Ran (\d+) tests? in", text, re.M)
    if not ran or int(ran.group(1)) == 0:
        return None
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors|skipped|unexpected successes)=(\d+)", text))
    return max(0, int(ran.group(1)) - bad), bad


def count_tap_again(text):
    """For a second run in another way: what cannot run that way, be it all, has run in the first."""
    ran, skipped = re.subn(r"^(not )?ok .*# SKIP.*\n", "", text, flags=re.M)
    return count_tap(re.sub(r"^1\.\.\d+\n", "", ran, flags=re.M)) or ((0, 0) if skipped else None)


def count_unittest_again(text):
    """As count_tap_again: a skipped test is neither passed nor failed."""
    skipped = sum(map(int, re.findall(r"skipped=(\d+)", text)))
    counted = count_unittest(text)
    return counted and (counted[0], counted[1] - skipped)
