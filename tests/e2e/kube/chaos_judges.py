"""What of a chaos run must hold, for chaos.py: over the event logs, what the work itself saw, the objects and the audit log."""

import collections
import json
import shutil

import chaos as base
from lib import boot_ms

MOST_REQUESTS = 12  # a second and process, on average: a loop without a pause makes hundreds
SLACK_US = 1_000_000  # a line may be so late


class Judges:
    """Part of KubeChaos."""

    def tell(self, event, **fields):
        """Adds to the history what no konductor can say. A deletion has an end: it happened some time between."""
        with open(self.told, "a", encoding="ascii") as log:
            log.write(json.dumps({"event": event, "t_us": int(boot_ms() * 1000), **fields}) + "\n")

    def tell_deleted(self, kind, name, since_ms, until_ms=None):
        self.tell("delete", kind=kind, name=name, t_us=int(since_ms * 1000), until_us=int((until_ms or boot_ms()) * 1000))

    def told_events(self, name):
        if not self.told.exists():
            return []
        return [e for e in map(json.loads, self.told.read_text().splitlines()) if e["event"] == name]

    def violations(self):
        seconds = (boot_ms() - self.began_ms) / 1000
        if self.told.exists():
            directory = self.cluster.directory / "told.d"
            directory.mkdir(exist_ok=True)
            shutil.copy(self.told, directory / "events")
        files = self.cluster.event_files
        self.cluster.event_files = lambda: files() + ([str(self.told)] if self.told.exists() else [])
        found = base.Chaos.violations(self) + self.unexcused() + self.lost_records()
        asked = self.c.audit(self.audit_mark, settle=False)
        ours = [e for e in asked if e["user"]["username"] != "admin"]
        rate = len(ours) / seconds / self.limit
        verbs = collections.Counter(e["verb"] for e in ours)
        self.summary += [f"{len(ours)} requests, {rate:.2f} a second and process; {dict(verbs)}"]
        if rate > MOST_REQUESTS:
            found.append(f"{rate:.1f} requests a second and process")
        return found

    # What the work saw.

    def grants(self):
        """By name and fence: who was granted it when, on which object, and when its work began."""
        made = {}
        for name in ("claim", "accept"):
            for event in self.cluster.events(name):
                made[event["name"], event["fence"]] = {**event, "since_us": event["base"] * 1000}
        for event in self.cluster.events("start"):
            if (event["name"], event["fence"]) in made:
                made[event["name"], event["fence"]]["start_us"] = event["t_us"]
        return made

    def unexcused(self):
        """Work that was not alone, or came late, without a deletion or a freeze of whom it was not alone with."""
        seen = self.directory / "seen"
        grants, found = self.grants(), []
        excused = collections.Counter()
        for line in seen.read_text().splitlines() if seen.exists() else []:
            how, name, token, last = line.split()
            two = [grants.get((name, int(fence))) for fence in (token, last)]
            why = all(two) and self.excuse(name, *sorted(two, key=lambda g: g["fence"]))
            if why:
                excused[why] += 1
            else:
                found.append(f"the work saw: {line}")
        self.summary += [f"work that only the fence kept apart: {dict(excused)}"]
        return found

    def excuse(self, name, old, new):
        if any(e["session"] == old["session"] and e["until_us"] >= old["since_us"] for e in self.told_events("frozen")):
            return "frozen"
        deleted = [e for e in self.told_events("delete") if e["name"] == name and e["until_us"] >= old["since_us"]
                   and e["t_us"] <= max(old["start_us"], new["start_us"]) + SLACK_US]
        return "deleted" if deleted and old["uid"] != new["uid"] else None

    # What the objects know.

    def lost_records(self):
        """Completions that were logged, of work that ended after the object was last deleted, and that the object does
        not know. The line itself may be late."""
        deleted, ended = collections.defaultdict(float), {}
        for event in self.told_events("delete"):
            deleted[event["name"]] = max(deleted[event["name"]], event["until_us"])
        for event in self.cluster.events("stop"):
            ended[event["name"], event["fence"]] = event.get("ended_us", event["t_us"])
        return [f"lost: {event}" for event in self.cluster.events("complete")
                if ended[event["name"], event["fence"]] > deleted[event["name"]]
                and not self.knows(event["name"], event["version"])]
