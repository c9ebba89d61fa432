"""Reads the replicas' event logs (docs/reference/events.md) and tells in a few words what happened."""

import json


class Story:
    """What happened so far, over all replicas."""

    def __init__(self):
        self.read = {}
        self.stage_of = {}
        self.who = {}
        self.skips = {}

    def news(self, replica):
        """Sentences for what this replica has written since the last call; "" for what is not worth one."""
        try:
            text = replica.events.read_text(errors="replace")
        except FileNotFoundError:
            return []
        start = self.read.get(replica.name, 0)
        end = text.rfind("\n") + 1
        self.read[replica.name] = max(start, end)
        return [self.tell(replica.name, json.loads(line)) for line in text[start:end].splitlines()]

    def stage(self, event):
        name = event.get("name")
        return event.get("stage") or self.stage_of.get(name, name)

    def tell(self, replica, event):
        kind = event["event"]
        if kind == "flow":
            self.stage_of.update({stage["object"]: stage.get("stage", stage["object"]) for stage in event["stages"]})
        elif kind == "start" and event.get("kind") == "Once":
            self.who.setdefault(self.stage(event), []).append(replica)
            return f"runs {self.stage(event)}"
        elif kind == "complete":
            return f"{self.stage(event)} done"
        elif kind == "wait":
            by = f" ({event['by']} runs it)" if event.get("by") else ""
            return f"waits for {self.stage(event)}{by}"
        elif kind == "skip":
            self.skips.setdefault(self.stage(event), set()).add(replica)
            return f"{self.stage(event)} is done already"
        elif kind == "main":
            return "starts its web server"
        return ""

    def runs(self):
        """How many commands of stages were started in all."""
        return sum(map(len, self.who.values()))

    def ran_twice(self):
        return [f"{stage} by {' and '.join(names)}" for stage, names in self.who.items() if len(names) > 1]

    def who_ran(self):
        """A line a stage: who ran it, and how many waited and went on without doing it again."""
        return [
            f"{stage}: run once, by {names[0]}; {len(self.skips.get(stage, ()))} others waited for it and skipped it"
            for stage, names in self.who.items()
        ]
